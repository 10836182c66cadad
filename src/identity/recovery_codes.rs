//! Recovery codes: each signs in once without the authenticator app.

use sha2::{Digest, Sha256};

/// The number of codes of a user.
pub const CODES: usize = 10;
/// Crockford's base 32: no letters that are easily confused.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const GROUPS: usize = 4;
const GROUP_LEN: usize = 4;

/// Random codes of 80 bits: `xxxx-xxxx-xxxx-xxxx`.
pub fn generate() -> Vec<String> {
    (0..CODES).map(|_| encode(rand::random())).collect()
}

/// The hash of a code, as stored. Case, dashes and spaces are ignored. A plain hash suffices: 80
/// random bits cannot be guessed.
pub fn hash(code: &str) -> [u8; 32] {
    let letters = code.chars().filter(|letter| *letter != '-' && !letter.is_whitespace());
    let normalized: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
    Sha256::digest(normalized).into()
}

/// Five bits a letter.
fn encode(bits: u128) -> String {
    let mut text = String::new();
    for at in 0..GROUPS * GROUP_LEN {
        if at > 0 && at % GROUP_LEN == 0 {
            text.push('-');
        }
        text.push(char::from(ALPHABET[(bits >> (5 * at)) as usize & 31]));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_have_their_form_and_differ() {
        assert_eq!(encode(0), "0000-0000-0000-0000");
        assert_eq!(encode(1 << 79), "0000-0000-0000-000g");
        assert_eq!(encode(u128::MAX), "zzzz-zzzz-zzzz-zzzz");
        let codes: HashSet<_> = (0..100).flat_map(|_| generate()).collect();
        assert_eq!(codes.len(), 100 * CODES);
        for code in codes {
            assert_eq!(code.split('-').map(str::len).collect::<Vec<_>>(), [4; 4], "{code}");
            assert!(code.bytes().all(|byte| byte == b'-' || ALPHABET.contains(&byte)), "{code}");
        }
    }

    #[test]
    fn case_dashes_and_spaces_are_ignored() {
        let code = "a1b2-c3d4-e5f6-g7h8";
        for same in ["A1B2-C3D4-E5F6-G7H8", "a1b2c3d4e5f6g7h8", " a1b2 c3d4 e5f6 g7h8\n"] {
            assert_eq!(hash(same), hash(code), "{same}");
        }
        for other in ["a1b2-c3d4-e5f6-g7h9", "a1b2-c3d4-e5f6-g7h", ""] {
            assert_ne!(hash(other), hash(code), "{other}");
        }
        assert_eq!(hash(code), <[u8; 32]>::from(Sha256::digest("a1b2c3d4e5f6g7h8")));
    }
}
