//! Actions: what events are called by those who read the audit, such as `link.created`.

use std::sync::LazyLock;

use super::event::Event;

/// Told from a change of the owner's own making by the event's content, not by its kind.
const REVERTED: u16 = Event::LINK_CHANGED | MARK;

/// Set in the numbers of actions that share their kind with another one. No kind has it.
const MARK: u16 = 1 << 15;

static EVERY: LazyLock<Vec<Action>> =
    LazyLock::new(|| of_kinds(Event::name_of).chain([Action(REVERTED)]).collect());

/// The actions of all kinds that have a name.
fn of_kinds(name_of: impl Fn(u16) -> Option<&'static str>) -> impl Iterator<Item = Action> {
    (0..MARK).filter(move |kind| name_of(*kind).is_some()).map(Action)
}

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
        EVERY.iter().copied()
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
    fn kinds_are_not_limited_to_a_byte() {
        let known = [10, 255, 256, 0x7FFF];
        let actions = of_kinds(|kind| known.contains(&kind).then_some("LinkCreated"));
        assert_eq!(actions.map(Action::number).collect::<Vec<_>>(), known);
    }

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
