//! Actions: what events are called by those who read the audit, such as `link.created`.

use super::event::Event;

/// Told from a change of the owner's own making by the event's content, not by its kind.
const REVERTED: u16 = Event::LINK_CHANGED | 1 << 15;

/// What was done, as a number that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action(u16);

impl Action {
    /// What an event did.
    pub const fn of(event: &Event) -> Self {
        match event {
            Event::LinkChanged(link) if link.reverted_to.is_some() => Self(REVERTED),
            _ => Self(event.kind()),
        }
    }

    /// As it is kept.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Whether it made a version of a link that has one before it.
    pub const fn is_change_of_a_link(self) -> bool {
        matches!(self.0, Event::LINK_CHANGED | REVERTED | Event::LINK_RESTORED)
    }

    /// As it was kept.
    pub const fn from_number(number: u16) -> Self {
        Self(number)
    }

    /// The action of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::every().find(|action| action.name() == name)
    }

    /// Each action that there is.
    pub fn every() -> impl Iterator<Item = Self> {
        let kinds = (0..=u16::from(u8::MAX)).filter(|kind| Event::name_of(*kind).is_some());
        kinds.chain([REVERTED]).map(Self)
    }

    /// Its name: the event's noun, a dot, the event's verb.
    pub fn name(self) -> String {
        let event = if self.0 == REVERTED { Some("LinkReverted") } else { Event::name_of(self.0) };
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
    fn a_reversion_is_told_from_a_change() {
        let changed = LinkState::default();
        let reverted = LinkState { reverted_to: Some(1), ..LinkState::default() };
        assert_eq!(Action::of(&Event::LinkChanged(changed)).name(), "link.changed");
        assert_eq!(Action::of(&Event::LinkChanged(reverted)).name(), "link.reverted");
    }
}
