//! The marker of a scan: the query parameter `qr` of the short URL in a QR code.
//!
//! `https://sho.rt/spring?qr=4c9` names a code by its number, the offset of its creation in the
//! mutation log, in base 36. The offset 1 is never that of a code, so `qr=1` can say that some code
//! was scanned.

/// The name of the query parameter.
pub const PARAMETER: &str = "qr";

const RADIX: u64 = 36;
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// The digits of `u64::MAX`.
const MAX_DIGITS: usize = 13;

/// What a marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// Some QR code was scanned: `qr`, `qr=1`, `qr=true`.
    SomeCode,
    /// The code with this number was scanned.
    Number(u64),
}

/// The value of the parameter that names the code with a number.
pub fn marker_of(number: u64) -> String {
    let mut digits = Vec::with_capacity(MAX_DIGITS);
    let mut rest = number;
    loop {
        digits.push(DIGITS[(rest % RADIX) as usize]);
        rest /= RADIX;
        if rest == 0 {
            break;
        }
    }
    digits.iter().rev().copied().map(char::from).collect()
}

/// A short URL with the marker of the code with a number.
pub fn marked(short_url: &str, number: u64) -> String {
    format!("{short_url}?{PARAMETER}={}", marker_of(number))
}

/// Parses a value of the parameter; `None` if it is none of ours. Only what [`marker_of`] writes is a
/// number: without leading zeros, in lower case.
pub fn parse(value: &str) -> Option<Marker> {
    if matches!(value, "" | "1" | "true") {
        return Some(Marker::SomeCode);
    }
    if value.len() > MAX_DIGITS || value.starts_with('0') {
        return None;
    }
    let number = value.bytes().try_fold(0_u64, |number, byte| {
        let digit = DIGITS.iter().position(|digit| *digit == byte)?;
        number.checked_mul(RADIX)?.checked_add(digit as u64)
    });
    number.map(Marker::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip() {
        assert_eq!(marker_of(5_625), "4c9");
        for number in [2, 35, 36, 37, 5_625, 1 << 40, u64::MAX] {
            assert_eq!(parse(&marker_of(number)), Some(Marker::Number(number)));
        }
    }

    #[test]
    fn only_markers_are_parsed() {
        for some in ["", "1", "true"] {
            assert_eq!(parse(some), Some(Marker::SomeCode), "{some:?}");
        }
        for other in ["0", "04c9", "4C9", "4c 9", "-1", "é", "3w5e11264sgsg", "00000000000001"] {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }
}
