//! CSV cells that a spreadsheet would run as a formula are prefixed with an apostrophe
//! ([OWASP](https://owasp.org/www-community/attacks/CSV_Injection)), which is removed on import.
//!
//! A cell is escaped if it has, after any apostrophes and then any blanks, a character that starts
//! a formula. The leading apostrophes are part of the condition, so an escaped cell always meets it
//! too: every escaped cell has exactly one original, and no unescaped cell looks escaped.

use std::borrow::Cow;

/// The condition as a regular expression (RE2), for cells written by ClickHouse.
pub const FORMULA_PATTERN: &str = r"^'*[\x00-\x20\x7f-\x{a0}\p{Z}]*[=+\-@\t\r\n＝＋－＠]";

/// Characters that start a formula. The last four are full-width forms, which spreadsheets accept.
const FORMULA_STARTS: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// Escapes a text for a cell.
pub fn escape(text: &str) -> Cow<'_, str> {
    if is_formula(text) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// The original text of a cell made by [`escape`].
pub fn unescape(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|text| is_formula(text)).unwrap_or(cell)
}

fn is_formula(text: &str) -> bool {
    let text = text.trim_start_matches('\'');
    let rest =
        text.trim_start_matches(|letter: char| letter.is_whitespace() || letter.is_control());
    let blanks = text.strip_suffix(rest).unwrap_or_default();
    rest.starts_with(FORMULA_STARTS) || blanks.contains(['\t', '\r', '\n'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_formulas_are_escaped() {
        for formula in [
            "=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "  =1", "\u{a0}@x", "＝1", "'=1",
            "'' -x", "\0=1",
        ] {
            assert_eq!(escape(formula), format!("'{formula}"), "{formula:?}");
        }
        for text in
            ["", "'", "a=1", "'twas", "1-2", " x", "é", "\"=1\"", "https://example.com/?a=-1"]
        {
            assert_eq!(escape(text), text);
            assert_eq!(unescape(text), text);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn escaping_round_trips(text in "['=+@\t\r\n \u{a0}\u{3000}＝\0a-]{0,8}|\\PC{0,8}") {
            let escaped = escape(&text);
            prop_assert_eq!(unescape(&escaped), &text);
            let begins_formula = |text: &str| text.trim_start().starts_with(FORMULA_STARTS);
            prop_assert!(!begins_formula(&escaped) && !escaped.starts_with(['\t', '\r', '\n']));
        }

        #[test]
        fn the_pattern_and_is_formula_agree(text in "['=+@\t\r\n \u{a0}\u{3000}\u{85}\u{2028}＝\0a-]{0,6}|[^a]{0,3}=?") {
            let pattern = regex::Regex::new(FORMULA_PATTERN).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(pattern.is_match(&text), is_formula(&text));
        }
    }
}
