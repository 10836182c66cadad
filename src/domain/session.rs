//! Sessions: a user who has signed in, in a browser or through the API.

use super::error::Unreadable;
use super::ids::{SessionId, UserId};
use super::retention::SESSION_IDLE_MS;

/// A session as logged.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SessionState {
    /// The 16 bytes of the id.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// The user's 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub user: Vec<u8>,
    /// SHA-256 of the cookie's secret; empty if the session has a JWT instead.
    #[prost(bytes = "vec", tag = "3")]
    pub secret_sha256: Vec<u8>,
    /// The user's `session_epoch` when it began.
    #[prost(uint32, tag = "4")]
    pub epoch: u32,
    /// In milliseconds since the Unix epoch.
    #[prost(uint64, tag = "5")]
    pub created_at_ms: u64,
    /// When it ends at the latest, in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "6")]
    pub expires_at_ms: u64,
    /// The time step of the TOTP code that it began with, if any.
    #[prost(uint64, optional, tag = "7")]
    pub totp_step: Option<u64>,
    /// SHA-256 of the recovery code that it began with; empty for none.
    #[prost(bytes = "vec", tag = "8")]
    pub recovery_sha256: Vec<u8>,
    /// The browser and operating system, for the list of sessions; empty if unknown.
    #[prost(string, tag = "9")]
    pub client: String,
}

/// A session ended.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SessionEnded {
    /// The session's 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub session: Vec<u8>,
    /// The user's 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub user: Vec<u8>,
}

impl SessionState {
    /// The ids of the session and its user.
    ///
    /// # Errors
    /// [`Unreadable`] if one is not 16 bytes long.
    pub fn ids(&self) -> Result<(UserId, SessionId), Unreadable> {
        let user = UserId::from_bytes(&self.user).map_err(|_| Unreadable("user id"))?;
        let session = SessionId::from_bytes(&self.id).map_err(|_| Unreadable("session id"))?;
        Ok((user, session))
    }

    /// Whether the session belongs to a browser's cookie rather than a JWT.
    pub const fn is_browser(&self) -> bool {
        !self.secret_sha256.is_empty()
    }
}

/// Whether a browser's session was not used for too long. Times are in milliseconds since the Unix
/// epoch; that of the last use may be rounded down to before the creation.
pub fn is_idle_at(now_ms: u64, created_at_ms: u64, used_at_ms: Option<u64>) -> bool {
    let used_at_ms = used_at_ms.unwrap_or(0).max(created_at_ms);
    used_at_ms.saturating_add(SESSION_IDLE_MS) <= now_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_idle_seven_days_after_its_last_use() {
        let week_ms = 7 * 24 * 3_600 * 1_000;
        for (created, used, end) in [(5, None, 5), (5, Some(3), 5), (5, Some(9), 9)] {
            assert!(!is_idle_at(end + week_ms - 1, created, used), "{created} {used:?}");
            assert!(is_idle_at(end + week_ms, created, used), "{created} {used:?}");
        }
    }
}
