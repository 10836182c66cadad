//! Secrets of API tokens: generated here, shown once, stored as hashes only.

use rand::Rng;
use sha2::{Digest, Sha256};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PREFIX: &str = "slk_";
const RANDOM_LEN: usize = 30;
const CHECKSUM_LEN: usize = 6;

/// Generates a secret: `slk_`, 30 random characters (178 bits) and a checksum of 6 characters, by
/// which secret scanners can recognize it.
pub fn generate() -> String {
    let mut secret = String::from(PREFIX);
    let mut random = rand::rng();
    while secret.len() < PREFIX.len() + RANDOM_LEN {
        let byte = usize::from(random.next_u32().to_le_bytes()[0]);
        // Reject bytes from 248, the largest multiple of 62, to avoid modulo bias.
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

/// The visible prefix of a secret, for lists of tokens: `slk_` and 4 characters of a generated
/// secret, the first 4 characters of a chosen one, which may be short.
pub fn prefix(secret: &str) -> String {
    let len = if secret.starts_with(PREFIX) { PREFIX.len() + 4 } else { 4 };
    secret.chars().take(len).collect()
}

/// The stored hash of a secret, which is also its lookup key.
pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_well_formed_and_distinct() {
        let (one, other) = (generate(), generate());
        assert_eq!(one.len(), 40);
        assert!(one.starts_with(PREFIX) && one[4..].bytes().all(|byte| BASE62.contains(&byte)));
        assert_ne!(one, other);
        assert_ne!(hash(&one), hash(&other));
        assert_eq!(prefix(&one), one[..8]);
        assert_eq!(prefix("a-chosen-token-of-20"), "a-ch");
    }
}
