//! Signs data that others send back: HMAC-SHA256 with the service's key.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A signature.
pub type Tag = [u8; 32];

/// Signs for one purpose: signatures for other purposes are invalid.
#[derive(Clone)]
pub struct Signer {
    /// Initialized with the key; cloned for each signature.
    keyed: Hmac<Sha256>,
}

impl Signer {
    /// Derives a key for a purpose from the service's key.
    pub fn new(key: &[u8; 32], purpose: &str) -> Self {
        let derived: Tag = keyed(key).chain_update(purpose).finalize().into_bytes().into();
        Self { keyed: keyed(&derived) }
    }

    /// Signs a message. The purpose determines the length of each part, so that messages are
    /// unambiguous.
    pub fn sign(&self, message: &[&[u8]]) -> Tag {
        self.mac_of(message).finalize().into_bytes().into()
    }

    /// Verifies a signature in constant time.
    pub fn is_signed(&self, message: &[&[u8]], tag: &Tag) -> bool {
        self.mac_of(message).verify_slice(tag).is_ok()
    }

    fn mac_of(&self, message: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        for part in message {
            mac.update(part);
        }
        mac
    }
}

/// RFC 2104 pads a key with zeros to the hash's block size. Doing so here makes the constructor
/// infallible.
fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    Hmac::new(&block.into())
}

/// Encodes an expiry time and a signature as 80 hexadecimal digits.
pub fn encode(until_ms: u64, tag: &Tag) -> String {
    hex(&until_ms.to_be_bytes()) + &hex(tag)
}

/// Decodes the output of [`encode`].
pub fn decode(text: &[u8]) -> Option<(u64, Tag)> {
    let (until, tag) = text.split_first_chunk::<16>()?;
    Some((u64::from_be_bytes(unhex(until)?), unhex(tag)?))
}

/// Encodes bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// Decodes hexadecimal digits; lower case only, so that the encoding is unique.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_hmac_sha256() {
        // RFC 4231, test case 2; its key is padded with zeros like any other.
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
    fn a_signature_is_valid_only_for_its_message_and_purpose() {
        let (unlock, form) = (Signer::new(&[7; 32], "unlock"), Signer::new(&[7; 32], "form"));
        let tag = unlock.sign(&[b"one", b"two"]);
        assert!(unlock.is_signed(&[b"one", b"two"], &tag));
        assert!(!unlock.is_signed(&[b"one", b"twx"], &tag));
        assert!(!form.is_signed(&[b"one", b"two"], &tag));
        assert!(!Signer::new(&[8; 32], "unlock").is_signed(&[b"one", b"two"], &tag));
    }

    #[test]
    fn encoding_round_trips() {
        let text = encode(1_760_000_000_000, &[0xa5; 32]);
        assert_eq!(text.len(), 80);
        assert_eq!(decode(text.as_bytes()), Some((1_760_000_000_000, [0xa5; 32])));
        for bad in
            ["", &text[1..], &text.to_uppercase(), &format!("{text}00"), &text.replace('a', "g")]
        {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }
}
