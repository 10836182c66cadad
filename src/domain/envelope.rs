//! Decoding of mutation log records.
//!
//! A record of a newer version of slugline is an error: it is never skipped or misinterpreted.

use prost::Message;

use super::error::Unreadable;
use super::event::{Envelope, Event, EventKind, LinkState, VERSION};
use super::retention::UNSTATED_IDEMPOTENCY_MS;

/// Identifies the known events: new events and newer layouts increase the number.
pub const KNOWN_EVENTS: u32 = (VERSION as u32) << 16 | EventKind::COUNT;

/// A record of the mutation log that can't be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The kind or the layout is of a newer version.
    #[error(
        "the change at offset {offset} (kind {kind}, version {version}) was written by a newer \
         version of slugline: run that version, or restore a backup from before it"
    )]
    Newer {
        /// The offset in the log.
        offset: u64,
        /// The record's kind.
        kind: u16,
        /// The version of its layout.
        version: u16,
    },
    /// The payload is not an event of the record's kind.
    #[error("the change at offset {0} is malformed")]
    Malformed(u64),
}

impl Envelope {
    /// Decodes a record from its offset, kind, version and payload.
    ///
    /// # Errors
    /// [`RecordError`] if it is not a known event.
    pub fn of_record(
        (offset, kind, version): (u64, u16, u16),
        payload: &[u8],
    ) -> Result<Self, RecordError> {
        if version > VERSION || EventKind::of_number(kind).is_none() {
            return Err(RecordError::Newer { offset, kind, version });
        }
        let envelope = Self::decode(payload).map_err(|_| RecordError::Malformed(offset))?;
        match &envelope.event {
            Some(event) if event.kind().number() == kind => Ok(envelope),
            Some(_) | None => Err(RecordError::Malformed(offset)),
        }
    }

    /// When the idempotency key expires, in milliseconds since the Unix epoch.
    pub fn idempotency_expires_at_ms(&self) -> u64 {
        let unstated = self.at_ms.saturating_add(UNSTATED_IDEMPOTENCY_MS);
        self.idempotency_until_ms.unwrap_or(unstated)
    }
}

impl Event {
    /// The link at the version that this event made; `None` for a deletion.
    ///
    /// # Errors
    /// [`Unreadable`] for an event that doesn't make a version of a link.
    pub fn into_version(self) -> Result<Option<LinkState>, Unreadable> {
        match self {
            Self::LinkCreated(state) | Self::LinkChanged(state) | Self::LinkRestored(state) => {
                Ok(Some(state))
            }
            Self::LinkDeleted(_) => Ok(None),
            _ => Err(Unreadable("version of a link")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{LinkDeleted, LinkPurged};

    fn payload(event: Event) -> Vec<u8> {
        Envelope { event: Some(event), ..Envelope::default() }.encode_to_vec()
    }

    #[test]
    fn a_record_of_a_newer_version_is_rejected() {
        let payload = payload(Event::LinkDeleted(LinkDeleted::default()));
        let read = |kind, version| Envelope::of_record((7, kind, version), &payload);
        assert!(read(EventKind::LinkDeleted.number(), VERSION).is_ok());
        for (kind, version) in
            [(999, VERSION), (25, VERSION), (EventKind::LinkDeleted.number(), VERSION + 1)]
        {
            let newer = RecordError::Newer { offset: 7, kind, version };
            assert_eq!(read(kind, version), Err(newer));
        }
    }

    #[test]
    fn a_record_must_match_its_kind() {
        let malformed = Err(RecordError::Malformed(7));
        let purged = payload(Event::LinkPurged(LinkPurged::default()));
        for payload in [purged.as_slice(), &[], &[0xff]] {
            let read = Envelope::of_record((7, EventKind::LinkDeleted.number(), VERSION), payload);
            assert_eq!(read, malformed);
        }
    }

    #[test]
    fn a_record_without_a_deadline_has_the_original_one() {
        let day_ms = 24 * 3_600 * 1_000;
        let old = Envelope { at_ms: 5, ..Envelope::default() };
        assert_eq!(old.idempotency_expires_at_ms(), day_ms + 5);
        assert_eq!(LinkDeleted::default().deadline_ms(5), 30 * day_ms + 5);
        let stated = Envelope { idempotency_until_ms: Some(9), ..old };
        assert_eq!(stated.idempotency_expires_at_ms(), 9);
        let stated = LinkDeleted { restorable_until_ms: Some(9), ..LinkDeleted::default() };
        assert_eq!(stated.deadline_ms(5), 9);
    }
}
