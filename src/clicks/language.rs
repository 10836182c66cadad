//! The visitor's preferred language, from `Accept-Language` (RFC 9110 § 12.5.4).

/// The highest weight, in thousandths.
const WEIGHT_MAX: u16 = 1000;

/// A lower-case primary language subtag of ISO 639 (`en`, `gsw`); empty if unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Language {
    letters: [u8; 3],
    len: u8,
}

impl Language {
    /// The language range with the highest weight, the first among equals. Ignores `*`, ranges with
    /// `q=0`, and ranges that don't start with two or three letters.
    pub fn of(header: Option<&[u8]>) -> Self {
        let ranges = header.unwrap_or_default();
        let mut best = (0, Self::default());
        for range in ranges.split(|byte| *byte == b',') {
            let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let Some(language) = parts.next().and_then(Self::of_tag) else {
                continue;
            };
            let weight = parts.next().map_or(Some(WEIGHT_MAX), weight).unwrap_or(0);
            if weight > best.0 {
                best = (weight, language);
            }
            if best.0 == WEIGHT_MAX {
                // No later range can have a higher weight.
                break;
            }
        }
        best.1
    }

    /// The subtag as text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.letters[..usize::from(self.len)]).unwrap_or_default()
    }

    fn of_tag(tag: &[u8]) -> Option<Self> {
        let primary = tag.split(|byte| matches!(byte, b'-' | b'_')).next()?;
        let mut letters = [0; 3];
        let len = u8::try_from(primary.len()).ok().filter(|len| (2..=3).contains(len))?;
        for (letter, byte) in letters.iter_mut().zip(primary) {
            *letter = byte.is_ascii_alphabetic().then(|| byte.to_ascii_lowercase())?;
        }
        Some(Self { letters, len })
    }
}

/// Parses `q=0.8` to thousandths (RFC 9110 § 12.4.2).
fn weight(parameter: &[u8]) -> Option<u16> {
    let value = match parameter {
        [b'q' | b'Q', rest @ ..] => rest.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start(),
        _ => return None,
    };
    let (whole, decimals) = match value {
        [whole @ (b'0' | b'1')] => (whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let mut thousandths = u16::from(whole - b'0') * 1000;
    for (decimal, unit) in decimals.iter().zip([100, 10, 1]) {
        let digit = decimal.is_ascii_digit().then(|| decimal - b'0')?;
        thousandths += u16::from(digit) * unit;
    }
    (thousandths <= WEIGHT_MAX).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_range_with_the_highest_weight_wins() {
        for (header, language) in [
            ("en-US,en;q=0.9", "en"),
            ("de", "de"),
            ("DE-CH, gsw;q=0.8", "de"),
            ("fr;q=0.5, es;q=0.9, it;q=0.9", "es"),
            ("en;q=0.8,pt-BR", "pt"),
            ("zh-Hans-CN", "zh"),
            ("gsw-CH,de;q=0.8", "gsw"),
            ("da, en-gb;q=0.8, en;q=0.7", "da"),
            ("ja ; q = 1.000", "ja"),
            ("*", ""),
            ("*, nl;q=0.1", "nl"),
            ("en;q=0", ""),
            ("en;q=0.000, fi;q=0.001", "fi"),
            ("en;q=2, sv;q=0.3", "sv"),
            ("en;q=0.1234, sv;q=0.3", "sv"),
            ("en;level=1, sv;q=0.3", "sv"),
            ("c, x-klingon, english, e2", ""),
            (",;,", ""),
            ("", ""),
        ] {
            assert_eq!(Language::of(Some(header.as_bytes())).as_str(), language, "{header}");
        }
        assert_eq!(Language::of(None).as_str(), "");
    }

    proptest! {
        #[test]
        fn any_header_yields_zero_two_or_three_lower_case_letters(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            grammar in "[a-zA-Z*,;q=0-9. -]{0,60}",
        ) {
            for value in [&bytes, grammar.as_bytes()] {
                let language = Language::of(Some(value));
                prop_assert!(matches!(language.as_str().len(), 0 | 2 | 3));
                prop_assert!(language.as_str().bytes().all(|byte| byte.is_ascii_lowercase()));
            }
        }
    }
}
