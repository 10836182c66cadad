//! What a user may have meant by a name that does not exist.

/// The word that is nearest to a text, if one is near: at most a third of its letters differ, as
/// counted by the optimal string alignment distance, ignoring case.
pub fn nearest<'a>(text: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_lowercase();
    let distance = |word: &str| strsim::osa_distance(&text, &word.to_lowercase());
    let near = words.into_iter().map(|word| (distance(word), word));
    let near = near.filter(|(distance, word)| distance * 3 <= word.chars().count().max(3));
    near.min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

/// `; did you mean …?`, if a word is near, to end a message.
pub fn hint<'a>(text: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    nearest(text, words).map_or_else(String::new, |word| format!("; did you mean `{word}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_words_are_meant() {
        let words = ["destination", "title", "slug"];
        let meant = |text| nearest(text, words);
        assert_eq!(meant("titel"), Some("title"));
        assert_eq!(meant("Slug"), Some("slug"));
        assert_eq!(meant("destnation"), Some("destination"));
        assert_eq!(meant("color"), None);
        assert_eq!(meant(""), None);
        assert_eq!(hint("titel", words), "; did you mean `title`?");
        assert_eq!(hint("colour", words), "");
    }
}
