//! API tokens: what they may do. Their secrets are never here, only hashes.

pub mod state;

use crate::domain::ids::{TokenId, UserId, WorkspaceId};
use crate::domain::plan::Plan;

macro_rules! abilities {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// One thing that a token can be allowed to do. Each handler names the one it needs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Ability { $($(#[$doc])* $name),* }

        impl Ability {
            /// Each ability there is.
            pub const EVERY: &'static [Self] = &[$(Self::$name),*];

            /// The ability's name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

abilities! {
    /// See and list links.
    LinksRead = "links:read";
    /// Create, change and delete links.
    LinksWrite = "links:write";
    /// Read analytics.
    AnalyticsRead = "analytics:read";
    /// See and list QR codes.
    QrRead = "qr:read";
    /// Create, change and delete QR codes.
    QrWrite = "qr:write";
    /// See the account and its tokens.
    UserRead = "user:read";
    /// Change the account and its tokens.
    UserWrite = "user:write";
    /// Record conversion events.
    EventsWrite = "events:write";
    /// Read who changed what in the workspace, and when.
    AuditRead = "audit:read";
}

/// A set of abilities. `*` is its own member: it covers also abilities that come later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities {
    all: bool,
    bits: u16,
}

impl Abilities {
    /// Everything, now and later: an owner's.
    pub const ALL: Self = Self { all: true, bits: 0 };

    /// Whether `ability` is in the set.
    pub const fn allows(self, ability: Ability) -> bool {
        self.all || self.bits & (1 << ability as u8) != 0
    }

    /// Whether everything in `other` is in this set too.
    pub const fn covers(self, other: Self) -> bool {
        self.all || (!other.all && other.bits & !self.bits == 0)
    }

    /// This ability and no other.
    pub const fn only(ability: Ability) -> Self {
        Self { all: false, bits: 1 << ability as u8 }
    }

    /// Reads the wire's names.
    ///
    /// # Errors
    /// A sentence that names the one that is no ability, and lists those that are.
    pub fn parse<S: AsRef<str>>(names: &[S]) -> Result<Self, String> {
        let mut set = Self::default();
        for name in names.iter().map(AsRef::as_ref) {
            if name == "*" {
                set.all = true;
                continue;
            }
            let known = Ability::EVERY.iter().find(|ability| ability.as_str() == name);
            let ability = known.ok_or_else(|| {
                let every: Vec<_> = Ability::EVERY.iter().map(|ability| ability.as_str()).collect();
                format!("`{name}` is not an ability; known are {}, *", every.join(", "))
            })?;
            set.bits |= 1 << *ability as u8;
        }
        if set == Self::default() { Err("must not be empty".to_owned()) } else { Ok(set) }
    }

    /// The wire's names, in the order of [`Ability::EVERY`].
    pub fn names(self) -> Vec<&'static str> {
        let each = Ability::EVERY.iter().filter(|ability| self.bits & (1 << **ability as u8) != 0);
        let star = self.all.then_some("*");
        star.into_iter().chain(each.map(|ability| ability.as_str())).collect()
    }
}

/// A token as the index knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its public name.
    pub id: TokenId,
    /// The workspace whose things it reaches.
    pub workspace: WorkspaceId,
    /// What its maker calls it.
    pub name: String,
    /// What it may do.
    pub abilities: Abilities,
    /// SHA-256 of the secret. A token has more than 100 random bits: a slow hash adds nothing.
    pub secret_sha256: [u8; 32],
    /// How the secret begins, so that people can tell tokens apart; `None` for tokens from before
    /// this was kept.
    pub prefix: Option<String>,
    /// In milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// From when on it is no longer valid, in milliseconds since the Unix epoch; `None`: never.
    pub expires_at_ms: Option<u64>,
}

impl Token {
    /// Whether it is no longer valid at this time.
    pub const fn is_expired_at(&self, now_ms: u64) -> bool {
        matches!(self.expires_at_ms, Some(until_ms) if until_ms <= now_ms)
    }

    /// Whether it can do everything in its workspace at this time, and so manage all tokens.
    pub const fn is_owner_at(&self, now_ms: u64) -> bool {
        self.abilities.covers(Abilities::ALL) && !self.is_expired_at(now_ms)
    }
}

/// A user's role in a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Manages the workspace and its plan.
    Owner,
    /// Works in the workspace.
    Member,
}

/// On whose behalf a request acts, and what it may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// The workspace that every result is scoped to.
    pub workspace: WorkspaceId,
    /// The token of the request; nil for the service itself.
    pub token: TokenId,
    /// The user and the role in the workspace; `None` for tokens that belong to no user.
    pub user: Option<(UserId, Role)>,
    /// The workspace's plan.
    pub plan: Plan,
    /// What the request may do.
    pub abilities: Abilities,
}

impl From<&Token> for Actor {
    fn from(token: &Token) -> Self {
        Self::new(token.workspace, token.id, token.abilities)
    }
}

impl Actor {
    /// A token without a user, in a workspace without limits.
    pub const fn new(workspace: WorkspaceId, token: TokenId, abilities: Abilities) -> Self {
        Self { workspace, token, user: None, plan: Plan::UNLIMITED, abilities }
    }

    /// The operator, with every ability in a workspace.
    pub const fn operator(workspace: WorkspaceId) -> Self {
        Self::new(workspace, TokenId::new(uuid::Uuid::nil()), Abilities::ALL)
    }

    /// The service itself, on behalf of a visitor.
    pub const fn service(workspace: WorkspaceId, ability: Ability) -> Self {
        Self { abilities: Abilities::only(ability), ..Self::operator(workspace) }
    }

    /// The actor in the log: the token's 16 bytes, or none for the service itself.
    pub fn in_log(&self) -> Vec<u8> {
        if self.token.uuid().is_nil() { Vec::new() } else { self.token.as_bytes().to_vec() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_set_allows_what_it_names_and_no_more() {
        let set = Abilities::parse(&["links:read", "user:write"]).unwrap();
        let allowed: Vec<_> =
            Ability::EVERY.iter().copied().filter(|ability| set.allows(*ability)).collect();
        assert_eq!(allowed, [Ability::LinksRead, Ability::UserWrite]);
        assert_eq!(set.names(), ["links:read", "user:write"]);
        assert!(Abilities::parse(&["links:reed"]).unwrap_err().contains("links:reed"));
        assert!(Abilities::parse::<&str>(&[]).is_err());
    }

    #[test]
    fn a_set_covers_its_parts_only() {
        let read = Abilities::parse(&["links:read"]).unwrap();
        let both = Abilities::parse(&["links:read", "links:write"]).unwrap();
        assert!(both.covers(read) && !read.covers(both));
        assert!(Abilities::ALL.covers(both) && !both.covers(Abilities::ALL));
    }
}
