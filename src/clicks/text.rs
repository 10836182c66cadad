//! Bounds on the texts that visitors send.

/// The longest beginning of `text` that has at most `limit` bytes and splits no character.
pub(super) fn cut(text: &str, limit: usize) -> &str {
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
    fn a_text_is_cut_between_characters() {
        for (text, limit, kept) in [
            ("", 4, ""),
            ("abc", 4, "abc"),
            ("abcde", 4, "abcd"),
            ("abcé", 4, "abc"),
            ("😀😀", 7, "😀"),
            ("é", 1, ""),
        ] {
            assert_eq!(cut(text, limit), kept, "{text} at {limit}");
        }
    }
}
