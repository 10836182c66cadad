//! Secrets of API tokens: generated here, shown once, stored as hashes only.

use rand::Rng;
use sha2::{Digest, Sha256};

use crate::domain::named_enum;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_LEN: usize = 30;
const CHECKSUM_LEN: usize = 6;
/// The number of characters after the prefix that lists show.
const SHOWN_LEN: usize = 4;

named_enum! {
    /// The spelling of a secret. Clients of other products may check the form of their keys.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum SecretFormat {
        /// `slk_…`
        #[default]
        Slugline => "slugline",
        /// `123456|…`, as Lynklens writes it.
        Lynklens => "lynklens",
        /// `lnktj_…`, as link.tj writes it.
        Linktj => "linktj",
    }
}

impl SecretFormat {
    /// The format of a secret with this visible prefix.
    pub fn of(prefix: &str) -> Self {
        match prefix {
            linktj if linktj.starts_with("lnktj_") => Self::Linktj,
            lynklens if lynklens.contains('|') => Self::Lynklens,
            _ => Self::Slugline,
        }
    }

    fn prefix(self) -> String {
        match self {
            Self::Slugline => "slk_".to_owned(),
            // A number that only looks like the row of a table.
            Self::Lynklens => format!("{}|", rand::rng().next_u32() % 900_000 + 100_000),
            Self::Linktj => "lnktj_".to_owned(),
        }
    }
}

/// Generates a secret: the prefix of its format, 30 random characters (178 bits) and a checksum of
/// 6 characters, by which secret scanners can recognize it.
pub fn generate(format: SecretFormat) -> String {
    let mut secret = format.prefix();
    let mut random = rand::rng();
    let random_end = secret.len() + RANDOM_LEN;
    while secret.len() < random_end {
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

/// The visible prefix of a secret, for lists of tokens: that of its format and 4 characters of a
/// generated secret, the first 4 characters of a chosen one, which may be short.
pub fn prefix(secret: &str) -> String {
    let end = secret.find(['_', '|']).map_or(0, |at| at + 1);
    let is_generated = secret.len() == end + RANDOM_LEN + CHECKSUM_LEN;
    secret.chars().take(if is_generated { end + SHOWN_LEN } else { SHOWN_LEN }).collect()
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
        let (one, other) = (generate(SecretFormat::Slugline), generate(SecretFormat::Slugline));
        assert_eq!(one.len(), 40);
        assert!(one.starts_with("slk_") && one[4..].bytes().all(|byte| BASE62.contains(&byte)));
        assert_ne!(one, other);
        assert_ne!(hash(&one), hash(&other));
        assert_eq!(prefix(&one), one[..8]);
        assert_eq!(prefix("a-chosen-token-of-20"), "a-ch");
        let lynklens = generate(SecretFormat::Lynklens);
        assert_eq!((lynklens.find('|'), prefix(&lynklens).len()), (Some(6), 11));
        let linktj = generate(SecretFormat::Linktj);
        assert!(prefix(&linktj).starts_with("lnktj_") && prefix(&linktj).len() == 10);
    }
}
