//! Audit actions: the names of events in the audit log, such as `link.created`.

use super::event::{Event, EventKind};

/// Flag of actions that share an event kind with another action. No event kind has it set.
const MARK: u16 = 1 << 15;

/// A [`LinkChanged`](Event::LinkChanged) that restored an older version.
const REVERTED: u16 = EventKind::LinkChanged.number() | MARK;

/// A [`QrCodeChanged`](Event::QrCodeChanged) that restored an older version.
const QR_CODE_REVERTED: u16 = EventKind::QrCodeChanged.number() | MARK;

/// An action, stored as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action(u16);

impl Action {
    /// The action of an event.
    pub const fn of(event: &Event) -> Self {
        match event {
            Event::LinkChanged(link) if link.reverted_to.is_some() => Self(REVERTED),
            Event::QrCodeChanged(code) if code.reverted_to.is_some() => Self(QR_CODE_REVERTED),
            _ => Self(event.kind().number()),
        }
    }

    /// The stored number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Whether the action created a new version of an existing link.
    pub const fn is_change_of_a_link(self) -> bool {
        const CHANGED: u16 = EventKind::LinkChanged.number();
        const RESTORED: u16 = EventKind::LinkRestored.number();
        matches!(self.0, CHANGED | REVERTED | RESTORED)
    }

    /// Creates an action from its stored number.
    pub const fn from_number(number: u16) -> Self {
        Self(number)
    }

    /// Looks up an action by name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::every().find(|action| action.name() == name)
    }

    /// All actions.
    pub fn every() -> impl Iterator<Item = Self> {
        let reverts = [Self(REVERTED), Self(QR_CODE_REVERTED)];
        EventKind::ALL.iter().map(|kind| Self(kind.number())).chain(reverts)
    }

    /// The name, such as `link.created`: noun, dot, verb.
    pub fn name(self) -> String {
        let event = match self.0 {
            REVERTED => Some("LinkReverted"),
            QR_CODE_REVERTED => Some("QrCodeReverted"),
            number => EventKind::of_number(number).map(EventKind::name),
        };
        let mut name = String::new();
        let event = event.unwrap_or("Unknown");
        let verb_at = event.rfind(|letter: char| letter.is_ascii_uppercase()).unwrap_or(0);
        for (at, letter) in event.char_indices() {
            if letter.is_ascii_uppercase() && at > 0 {
                name.push(if at == verb_at { '.' } else { '_' });
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::LinkState;

    #[test]
    fn each_action_is_found_by_its_name() {
        let names: Vec<_> = Action::every().map(Action::name).collect();
        for name in ["workspace.created", "token.revoked", "link.created", "link.reverted"] {
            assert!(names.iter().any(|one| one == name), "{names:?}");
        }
        for action in Action::every() {
            assert_eq!(Action::parse(&action.name()), Some(action));
            assert_eq!(Action::from_number(action.number()), action);
        }
        assert_eq!(Action::parse("link.reded"), None);
    }

    #[test]
    fn a_revert_is_distinguished_from_a_change() {
        let changed = LinkState::default();
        let reverted = LinkState { reverted_to: Some(1), ..LinkState::default() };
        assert_eq!(Action::of(&Event::LinkChanged(changed)).name(), "link.changed");
        assert_eq!(Action::of(&Event::LinkChanged(reverted)).name(), "link.reverted");
    }
}
