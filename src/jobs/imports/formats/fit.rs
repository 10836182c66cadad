//! Adjusts display texts to their limits: a title that is too long does not fail the link.

use crate::domain::link::{
    Field, LinkInput, MAX_NOTES_CHARS, MAX_OG_DESCRIPTION_CHARS, MAX_OG_TITLE_CHARS,
    MAX_TITLE_CHARS,
};

/// Replaces line breaks and other control characters by spaces and truncates texts that are too
/// long, each with a warning. Notes keep their line breaks.
pub(super) fn fit(link: &mut LinkInput, warnings: &mut Vec<(String, String)>) {
    let texts = [
        ("title", &mut link.title, MAX_TITLE_CHARS, false),
        ("og_title", &mut link.og_title, MAX_OG_TITLE_CHARS, false),
        ("og_description", &mut link.og_description, MAX_OG_DESCRIPTION_CHARS, false),
        ("notes", &mut link.notes, MAX_NOTES_CHARS, true),
    ];
    for (name, field, max_chars, has_lines) in texts {
        let Field::Value(text) = field else { continue };
        let mut warn = |warning: String| warnings.push((name.to_owned(), warning));
        if has_lines {
            *text = text.replace("\r\n", "\n").replace('\r', "\n");
        }
        let is_folded =
            |letter: char| letter.is_control() && !(has_lines && matches!(letter, '\n' | '\t'));
        if text.contains(is_folded) {
            let parts = text.split(is_folded).map(|part| part.trim_matches(' '));
            let folded = parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
            if folded != text.trim() {
                warn("line breaks and control characters were replaced by spaces".to_owned());
            }
            *text = folded;
        }
        let length = text.chars().count();
        if length > max_chars {
            *text = text.chars().take(max_chars).collect();
            warn(format!("was truncated from {length} to {max_chars} characters"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(title: &str, notes: &str) -> (LinkInput, Vec<(String, String)>) {
        let (title, notes) = (Field::Value(title.to_owned()), Field::Value(notes.to_owned()));
        let (mut link, mut warnings) =
            (LinkInput { title, notes, ..LinkInput::default() }, Vec::new());
        fit(&mut link, &mut warnings);
        (link, warnings)
    }

    #[test]
    fn texts_are_folded_and_cut_with_a_warning() {
        let folded = "line breaks and control characters were replaced by spaces";
        for (title, expected, warning) in [
            ("Spring  sale", "Spring  sale", None),
            ("Spring sale\r\n", "Spring sale", None),
            ("Spring \r\n\tsale", "Spring sale", Some(folded)),
            ("\u{b}a\0b", "a b", Some(folded)),
            (&"ä".repeat(200), &*"ä".repeat(200), None),
            (&"ä".repeat(201), &*"ä".repeat(200), Some("was truncated from 201 to 200 characters")),
        ] {
            let (link, warnings) = fitted(title, "");
            assert_eq!(link.title, Field::Value(expected.to_owned()));
            let expected = warning.map(|text| ("title".to_owned(), text.to_owned()));
            assert_eq!(warnings, Vec::from_iter(expected), "{title:?}");
        }
    }

    #[test]
    fn notes_keep_their_lines() {
        let (link, warnings) = fitted("", "one\r\ntwo\rthree\tx");
        assert_eq!(link.notes, Field::Value("one\ntwo\nthree\tx".to_owned()));
        assert_eq!(warnings, []);
        let (link, warnings) = fitted("", &format!("a\u{1b}\n{}", "n".repeat(2_000)));
        assert_eq!(link.notes, Field::Value(format!("a \n{}", "n".repeat(1_997))));
        assert_eq!(warnings.len(), 2, "{warnings:?}");
    }
}
