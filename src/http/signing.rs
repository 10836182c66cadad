//! Signatures on what visitors carry back to the service: HMAC-SHA256 with the service's own key.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The bytes of a signature.
pub type Tag = [u8; 32];

/// Signs for one purpose: a signature for another is none for this one.
#[derive(Clone)]
pub struct Signer {
    /// Has taken the key in; copied for each signature.
    keyed: Hmac<Sha256>,
}

impl Signer {
    /// With a key of its own, derived from the service's.
    pub fn new(key: &[u8; 32], purpose: &str) -> Self {
        let derived: Tag = keyed(key).chain_update(purpose).finalize().into_bytes().into();
        Self { keyed: keyed(&derived) }
    }

    /// The signature of what is said. Each part has a length that follows from the purpose, so that
    /// no two sayings read the same.
    pub fn sign(&self, said: &[&[u8]]) -> Tag {
        self.over(said).finalize().into_bytes().into()
    }

    /// Whether this is the signature of what is said; compared in constant time.
    pub fn is_signed(&self, said: &[&[u8]], tag: &Tag) -> bool {
        self.over(said).verify_slice(tag).is_ok()
    }

    fn over(&self, said: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        for part in said {
            mac.update(part);
        }
        mac
    }
}

/// RFC 2104 fills a key up with zeros to the hash's block: here that is done beforehand, which has
/// no way to fail.
fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    Hmac::new(&block.into())
}

/// What was signed until a moment, as text: the moment and the signature, 80 hexadecimal digits.
pub fn encode(until_ms: u64, tag: &Tag) -> String {
    hex(&until_ms.to_be_bytes()) + &hex(tag)
}

/// Reads what [`encode`] wrote.
pub fn decode(text: &[u8]) -> Option<(u64, Tag)> {
    let (until, tag) = text.split_first_chunk::<16>()?;
    Some((u64::from_be_bytes(unhex(until)?), unhex(tag)?))
}

/// Two hexadecimal digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// Reads twice as many hexadecimal digits as bytes; lower case only, so that there is one way to
/// write a thing.
pub fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

const fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    }
}

/// The cookies of a request by name, in the order in which they came (RFC 6265 §4.2).
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
    fn signatures_are_hmac_sha256() {
        // RFC 4231, test case 2, whose key is filled up as any other.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let tag: Tag =
            keyed(&key).chain_update("what do ya want for nothing?").finalize().into_bytes().into();
        assert_eq!(
            encode(0, &tag)[16..],
            *"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_signature_holds_for_its_saying_and_its_purpose_alone() {
        let (unlock, form) = (Signer::new(&[7; 32], "unlock"), Signer::new(&[7; 32], "form"));
        let tag = unlock.sign(&[b"one", b"two"]);
        assert!(unlock.is_signed(&[b"one", b"two"], &tag));
        assert!(!unlock.is_signed(&[b"one", b"twx"], &tag));
        assert!(!form.is_signed(&[b"one", b"two"], &tag));
        assert!(!Signer::new(&[8; 32], "unlock").is_signed(&[b"one", b"two"], &tag));
    }

    #[test]
    fn what_is_encoded_reads_back() {
        let text = encode(1_760_000_000_000, &[0xa5; 32]);
        assert_eq!(text.len(), 80);
        assert_eq!(decode(text.as_bytes()), Some((1_760_000_000_000, [0xa5; 32])));
        for bad in
            ["", &text[1..], &text.to_uppercase(), &format!("{text}00"), &text.replace('a', "g")]
        {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn cookies_are_told_apart() {
        let found: Vec<_> = cookies(b"a=1; b=2;c = 3 ;; d; =e; f=g=h").collect();
        let expected: [(&[u8], &[u8]); 5] =
            [(b"a", b"1"), (b"b", b"2"), (b"c", b"3"), (b"", b"e"), (b"f", b"g=h")];
        assert_eq!(found, expected);
    }
}
