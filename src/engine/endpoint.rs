//! The address and credentials of the running engine.

use std::fmt;

use rand::RngExt as _;
use sha2::{Digest as _, Sha256};

/// The database that slugline keeps in the engine.
pub const DATABASE: &str = "slugline";

/// The user that slugline connects as.
pub const USER: &str = "slugline";

/// A running engine's address and credentials; valid until its child process dies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The HTTP interface, for example `http://127.0.0.1:40123`.
    pub url: String,
    /// The user, always [`USER`]. Sent in the header `X-ClickHouse-User`: requests without that
    /// header get a 404.
    pub user: String,
    /// The password, for the header `X-ClickHouse-Key`.
    pub password: Password,
    /// The database, always [`DATABASE`]; it exists when the endpoint is published.
    pub database: String,
}

impl Endpoint {
    /// The endpoint of an engine on this loopback port.
    pub(super) fn on_port(port: u16, password: Password) -> Self {
        Self {
            url: format!("http://127.0.0.1:{port}"),
            user: USER.to_owned(),
            password,
            database: DATABASE.to_owned(),
        }
    }
}

/// A password that is redacted in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// A new password of 256 random bits, as hex.
    pub(super) fn random() -> Self {
        Self(hex(&rand::rng().random::<[u8; 32]>()))
    }

    /// The password in plain text, to be sent to the engine.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The SHA-256 of the password as hex, for the engine's configuration.
    pub(super) fn sha256_hex(&self) -> String {
        hex(&Sha256::digest(self.0.as_bytes()))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(redacted)")
    }
}

/// Bytes as lower-case hex.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_long_fresh_and_not_shown() {
        let (one, two) = (Password::random(), Password::random());
        assert_ne!(one, two);
        assert_eq!(one.expose().len(), 64);
        let shown = format!("{:?}", Endpoint::on_port(1, one.clone()));
        assert!(!shown.contains(one.expose()), "{shown}");
    }

    #[test]
    fn the_hash_is_sha256_of_the_text() {
        let hash = Password("secret".to_owned()).sha256_hex();
        assert_eq!(hash, "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b");
    }
}
