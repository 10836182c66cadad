//! Truncation of texts from requests.

/// The longest prefix of `text` of at most `limit` bytes that splits no character.
pub(super) fn truncated(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_truncated_between_characters() {
        for (text, limit, kept) in [
            ("", 4, ""),
            ("abc", 4, "abc"),
            ("abcde", 4, "abcd"),
            ("abcé", 4, "abc"),
            ("😀😀", 7, "😀"),
            ("é", 1, ""),
        ] {
            assert_eq!(truncated(text, limit), kept, "{text} at {limit}");
        }
    }
}
