//! Cookies of requests.

/// The cookies of a request by name, in the order in which they were sent (RFC 6265 §4.2).
pub fn cookies(header: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    header.split(|byte| *byte == b';').filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at_checked(at)?;
        Some((name.trim_ascii(), value.get(1..)?.trim_ascii()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_split() {
        let found: Vec<_> = cookies(b"a=1; b=2;c = 3 ;; d; =e; f=g=h").collect();
        let expected: [(&[u8], &[u8]); 5] =
            [(b"a", b"1"), (b"b", b"2"), (b"c", b"3"), (b"", b"e"), (b"f", b"g=h")];
        assert_eq!(found, expected);
    }
}
