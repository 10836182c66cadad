//! A link's password: as somebody chose it, and as it is kept.

use std::fmt;

use serde::Deserialize;

/// The longest password, in bytes: a longer one would only make hashing dear.
const MAX_BYTES: usize = 200;
const MIN_CHARS: usize = 4;

/// A password on its way to become a hash, which is work for a thread of its own.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Password {
    /// As it was chosen. The only place where it stands.
    Chosen(String),
    /// A PHC string of argon2id.
    Hashed(String),
}

/// What is kept of a password: a PHC string of argon2id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PasswordHash<'a>(&'a str);

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self::Chosen(text)
    }
}

impl Password {
    /// What was chosen, if it is fit to be a password and not hashed yet. One that is unfit stays
    /// as it is, and is refused when it is to become a hash.
    pub fn to_be_hashed(&self) -> Option<&str> {
        match self {
            Self::Chosen(text) if Self::unfit(text).is_none() => Some(text),
            _ => None,
        }
    }

    /// The hash.
    ///
    /// # Errors
    /// What is wrong with the password that was chosen.
    pub(super) fn into_hash(self) -> Result<String, String> {
        match self {
            Self::Hashed(hash) => Ok(hash),
            Self::Chosen(text) => Err(Self::unfit(&text).unwrap_or("was not hashed").to_owned()),
        }
    }

    fn unfit(text: &str) -> Option<&'static str> {
        if text.chars().count() < MIN_CHARS || text.len() > MAX_BYTES {
            return Some("must be at least 4 characters, and at most 200 bytes");
        }
        text.chars().any(char::is_control).then_some("must not hold control characters")
    }
}

impl<'a> PasswordHash<'a> {
    /// Of a PHC string.
    pub const fn new(hash: &'a str) -> Self {
        Self(hash)
    }

    /// The PHC string.
    pub const fn phc(self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl fmt::Debug for PasswordHash<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}
