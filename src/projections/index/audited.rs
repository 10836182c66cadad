//! An event in short, so that the audit finds those that are asked for without the log.
//!
//! | bytes | field |
//! |---|---|
//! | 0–1 | the action's number |
//! | 2–9 | when, in milliseconds since the Unix epoch |
//! | 10–25 | the token's 16 bytes; zeros for sessions and the service itself |
//! | 26–41 | the user's 16 bytes; zeros for machine tokens and the service itself |
//! | 42–57 | to what it happened: 16 bytes; zeros for the workspace |

use super::encoding::number;
use crate::domain::action::Action;
use crate::domain::event::{Envelope, Event};

const AUDITED_BYTES: usize = 58;
const NOTHING: [u8; 16] = [0; 16];

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audited {
    /// What was done.
    pub action: Action,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The token's bytes; `None` for sessions and the service itself.
    pub token: Option<[u8; 16]>,
    /// The user's bytes; `None` for machine tokens and the service itself.
    pub user: Option<[u8; 16]>,
    /// The thing's bytes; `None` for the workspace.
    pub subject: Option<[u8; 16]>,
}

impl Audited {
    pub(super) fn of(envelope: &Envelope, event: &Event) -> Self {
        Self {
            action: Action::of(event),
            at_ms: envelope.at_ms,
            token: envelope.token.as_slice().try_into().ok(),
            user: envelope.user.as_slice().try_into().ok(),
            subject: event.subject().try_into().ok(),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(AUDITED_BYTES);
        value.extend_from_slice(&self.action.number().to_be_bytes());
        value.extend_from_slice(&self.at_ms.to_be_bytes());
        value.extend_from_slice(&self.token.unwrap_or(NOTHING));
        value.extend_from_slice(&self.user.unwrap_or(NOTHING));
        value.extend_from_slice(&self.subject.unwrap_or(NOTHING));
        value
    }

    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let value: &[u8; AUDITED_BYTES] = value.try_into().ok()?;
        let (action, rest) = value.split_first_chunk::<2>()?;
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let (token, rest) = rest.split_first_chunk::<16>()?;
        let (user, subject) = rest.split_first_chunk::<16>()?;
        let some = |bytes: [u8; 16]| (bytes != NOTHING).then_some(bytes);
        Some(Self {
            action: Action::from_number(u16::from_be_bytes(*action)),
            at_ms: number(at),
            token: some(*token),
            user: some(*user),
            subject: some(subject.try_into().ok()?),
        })
    }
}
