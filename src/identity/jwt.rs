//! Session tokens: JSON Web Tokens signed with HMAC-SHA256, and the keys that sign them.
//!
//! A token is read as strictly as it is issued: HS256 whatever its header says, a known key, every
//! claim present and of its type. It is written here rather than with the `jsonwebtoken` crate,
//! which compares `exp` with the system's clock, accepts fractions, and needs a cryptography
//! provider for all of the process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::ids::{SessionId, UserId};
use crate::log::replace_file;

/// The name of the file in the data folder.
pub const FILE: &str = "jwt.keys";
/// How long a key signs.
pub const KEY_PERIOD: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The maximum lifetime of a token.
pub const MAX_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How far the clock that issued a token may be ahead.
const LEEWAY_SECONDS: u64 = 60;
/// Ours have about 400 bytes.
const MAX_TOKEN_LEN: usize = 2_048;

/// What a valid token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims {
    /// Whose session it is.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
    /// When it was issued, in seconds.
    pub issued_at: u64,
    /// When it expires, in seconds.
    pub expires_at: u64,
}

/// A token that does not authenticate anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session token is invalid or has expired")]
pub struct InvalidJwt;

/// Issues and verifies session tokens. Cheap to clone.
#[derive(Clone)]
pub struct JwtKeys(Arc<Shared>);

struct Shared {
    path: PathBuf,
    issuer: String,
    audience: String,
    /// The oldest first; the last one signs. Empty only while opening.
    keys: ArcSwap<Vec<Key>>,
    rotating: Mutex<()>,
}

#[derive(Clone)]
struct Key {
    stored: StoredKey,
    hmac: hmac::Key,
}

/// A key as stored.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    kid: String,
    secret: [u8; 32],
    created_ms: u64,
}

/// The header of a token. Others, such as `crit`, are refused.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    iss: String,
    aud: String,
    sub: String,
    jti: String,
    iat: u64,
    nbf: u64,
    exp: u64,
}

impl From<StoredKey> for Key {
    fn from(stored: StoredKey) -> Self {
        Self { hmac: hmac::Key::new(hmac::HMAC_SHA256, &stored.secret), stored }
    }
}

impl JwtKeys {
    /// Reads the keys, or creates the first one. `issuer` is the service's URL.
    ///
    /// # Errors
    /// If the file is not valid, or cannot be read or written.
    pub fn open(path: &Path, issuer: &str, now_ms: u64) -> io::Result<Self> {
        let stored: Vec<StoredKey> = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| {
                let what = "is not valid; remove it to sign all users out";
                let message = format!("{} {what}", path.display());
                io::Error::new(io::ErrorKind::InvalidData, message)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(named(path, &error)),
        };
        let keys = Self(Arc::new(Shared {
            path: path.to_owned(),
            issuer: issuer.to_owned(),
            audience: format!("{issuer}/api"),
            keys: ArcSwap::from_pointee(stored.into_iter().map(Key::from).collect()),
            rotating: Mutex::default(),
        }));
        keys.rotate_if_due(now_ms)?;
        Ok(keys)
    }

    /// Creates a new signing key if the present one is old, and removes those whose tokens have
    /// all expired. Returns whether something has changed.
    pub fn rotate_if_due(&self, now_ms: u64) -> io::Result<bool> {
        let shared = &self.0;
        let _one_at_a_time = shared.rotating.lock().unwrap_or_else(PoisonError::into_inner);
        let present = shared.keys.load();
        // A key stops signing when its successor is created.
        let is_used = |at: usize| {
            let replaced_ms = present.get(at + 1).map(|next| next.stored.created_ms);
            replaced_ms.is_none_or(|at_ms| {
                Duration::from_millis(now_ms.saturating_sub(at_ms)) < MAX_LIFETIME
            })
        };
        let used = present.iter().enumerate().filter(|(at, _)| is_used(*at));
        let mut keys: Vec<Key> = used.map(|(_, key)| key.clone()).collect();
        // Also if it was created by a clock that was far ahead.
        let is_old =
            |key: &Key| Duration::from_millis(now_ms.abs_diff(key.stored.created_ms)) >= KEY_PERIOD;
        if keys.last().is_none_or(is_old) {
            let kid = format!("{:016x}", rand::random::<u64>());
            let key = StoredKey { kid, secret: rand::random(), created_ms: now_ms };
            keys.push(key.into());
        } else if keys.len() == present.len() {
            return Ok(false);
        }
        let stored: Vec<_> = keys.iter().map(|key| &key.stored).collect();
        let bytes = serde_json::to_vec(&stored)?;
        replace_file(&shared.path, &bytes).map_err(|error| named(&shared.path, &error))?;
        shared.keys.store(Arc::new(keys));
        Ok(true)
    }

    /// Issues a token for a session. The lifetime is at most [`MAX_LIFETIME`].
    pub fn issue(
        &self,
        user: UserId,
        session: SessionId,
        now_ms: u64,
        lifetime: Duration,
    ) -> String {
        let (shared, keys) = (&self.0, self.0.keys.load());
        // There is always one: opening creates it. A token without a signature is invalid.
        let Some(key) = keys.last() else { return String::new() };
        let now = now_ms / 1_000;
        let header =
            Header { alg: "HS256".to_owned(), typ: "JWT".to_owned(), kid: key.stored.kid.clone() };
        let payload = Payload {
            iss: shared.issuer.clone(),
            aud: shared.audience.clone(),
            sub: user.to_string(),
            jti: session.to_string(),
            iat: now,
            nbf: now,
            exp: now.saturating_add(lifetime.min(MAX_LIFETIME).as_secs()),
        };
        let signed = format!("{}.{}", encode(&header), encode(&payload));
        let signature = hmac::sign(&key.hmac, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Verifies a token.
    pub fn verify(&self, token: &str, now_ms: u64) -> Result<Claims, InvalidJwt> {
        if token.len() > MAX_TOKEN_LEN {
            return Err(InvalidJwt);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(InvalidJwt)?;
        let (header, payload) = signed.split_once('.').ok_or(InvalidJwt)?;
        let header: Header = decode(header)?;
        if header.alg != "HS256" || header.typ != "JWT" {
            return Err(InvalidJwt);
        }
        let (shared, keys) = (&self.0, self.0.keys.load());
        let key = keys.iter().find(|key| key.stored.kid == header.kid).ok_or(InvalidJwt)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| InvalidJwt)?;
        hmac::verify(&key.hmac, signed.as_bytes(), &signature).map_err(|_| InvalidJwt)?;
        let payload: Payload = decode(payload)?;
        let now = now_ms / 1_000;
        let latest_start = now.saturating_add(LEEWAY_SECONDS);
        let is_valid = payload.iss == shared.issuer
            && payload.aud == shared.audience
            && payload.iat <= latest_start
            && payload.nbf <= latest_start
            && payload.exp > now;
        if !is_valid {
            return Err(InvalidJwt);
        }
        Ok(Claims {
            user: payload.sub.parse().map_err(|_| InvalidJwt)?,
            session: payload.jti.parse().map_err(|_| InvalidJwt)?,
            issued_at: payload.iat,
            expires_at: payload.exp,
        })
    }
}

fn encode<T: Serialize>(part: &T) -> String {
    // Texts and integers always serialize; an empty part would be refused.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).unwrap_or_default())
}

/// Refuses padding, other alphabets, trailing bits, trailing bytes, and repeated fields.
fn decode<T: DeserializeOwned>(part: &str) -> Result<T, InvalidJwt> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| InvalidJwt)?;
    serde_json::from_slice(&bytes).map_err(|_| InvalidJwt)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
