//! API tokens' secrets: made here, shown once, kept only as hashes.

use rand::Rng;
use sha2::{Digest, Sha256};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PREFIX: &str = "slk_";
const RANDOM_LEN: usize = 30;
const CHECKSUM_LEN: usize = 6;

/// A new secret: `slk_`, 30 random characters (178 bits), 6 of a checksum, so that a scanner
/// of leaked secrets can tell one from chance.
pub fn generate() -> String {
    let mut secret = String::from(PREFIX);
    let mut random = rand::rng();
    while secret.len() < PREFIX.len() + RANDOM_LEN {
        let byte = usize::from(random.next_u32().to_le_bytes()[0]);
        // 248 is the largest multiple of 62 in a byte: the rest would favour some letters.
        if byte < 248 {
            secret.push(char::from(BASE62[byte % 62]));
        }
    }
    let mut checksum = crc32c::crc32c(secret.as_bytes()) as usize;
    for _ in 0..CHECKSUM_LEN {
        secret.push(char::from(BASE62[checksum % 62]));
        checksum /= 62;
    }
    secret
}

/// How a secret begins, for lists of tokens: of a generated one `slk_` and 4 of its 30 random
/// characters. Of one that somebody chose, which may be short, the first 4 characters.
pub fn prefix(secret: &str) -> String {
    let len = if secret.starts_with(PREFIX) { PREFIX.len() + 4 } else { 4 };
    secret.chars().take(len).collect()
}

/// What is stored of a secret, and what it is found by.
pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_their_form_and_differ() {
        let (one, other) = (generate(), generate());
        assert_eq!(one.len(), 40);
        assert!(one.starts_with(PREFIX) && one[4..].bytes().all(|byte| BASE62.contains(&byte)));
        assert_ne!(one, other);
        assert_ne!(hash(&one), hash(&other));
        assert_eq!(prefix(&one), one[..8]);
        assert_eq!(prefix("a-chosen-token-of-20"), "a-ch");
    }
}
