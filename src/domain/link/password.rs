//! The password of a link, in plain text and hashed.

use std::fmt;

use serde::Deserialize;

/// The maximum length of a password, in bytes: hashing longer ones would only be expensive.
const MAX_BYTES: usize = 200;
const MIN_CHARS: usize = 4;

/// A password that is hashed on a separate thread before it is stored.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Password {
    /// The plain text. It is stored nowhere else.
    Chosen(String),
    /// An argon2id hash as a PHC string.
    Hashed(String),
}

/// An argon2id hash as a PHC string.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PasswordHash<'a>(&'a str);

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self::Chosen(text)
    }
}

impl Password {
    /// The plain text, if it is valid and not hashed yet. An invalid password is not hashed;
    /// `into_hash` rejects it.
    pub fn to_be_hashed(&self) -> Option<&str> {
        match self {
            Self::Chosen(text) if Self::error_in(text).is_none() => Some(text),
            _ => None,
        }
    }

    /// Returns the hash.
    ///
    /// # Errors
    /// The reason why the password is invalid.
    pub(super) fn into_hash(self) -> Result<String, String> {
        match self {
            Self::Hashed(hash) => Ok(hash),
            Self::Chosen(text) => Err(Self::error_in(&text).unwrap_or("was not hashed").to_owned()),
        }
    }

    fn error_in(text: &str) -> Option<&'static str> {
        if text.chars().count() < MIN_CHARS || text.len() > MAX_BYTES {
            return Some("must be at least 4 characters, and at most 200 bytes");
        }
        text.chars().any(char::is_control).then_some("must not contain control characters")
    }
}

impl<'a> PasswordHash<'a> {
    /// Wraps a PHC string.
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
