//! API tokens and their abilities. Secrets are only represented by their hashes.

pub mod state;

use crate::domain::ids::{TokenId, UserId, WorkspaceId};
use crate::domain::plan::Plan;

macro_rules! abilities {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// A permission of a token. Each route declares the one that it requires.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Ability { $($(#[$doc])* $name),* }

        impl Ability {
            /// All abilities.
            pub const EVERY: &'static [Self] = &[$(Self::$name),*];

            /// The name in requests and responses.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

abilities! {
    /// Read links.
    LinksRead = "links:read";
    /// Create, change and delete links.
    LinksWrite = "links:write";
    /// Read analytics.
    AnalyticsRead = "analytics:read";
    /// Read QR codes.
    QrRead = "qr:read";
    /// Create, change and delete QR codes.
    QrWrite = "qr:write";
    /// Read the account and its tokens.
    UserRead = "user:read";
    /// Change the account and its tokens.
    UserWrite = "user:write";
    /// Record conversion events.
    EventsWrite = "events:write";
    /// Read the workspace's audit log.
    AuditRead = "audit:read";
}

/// A set of abilities. `*` is stored separately: it includes abilities of future versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities {
    all: bool,
    bits: u16,
}

impl Abilities {
    /// All abilities, including future ones: those of an owner.
    pub const ALL: Self = Self { all: true, bits: 0 };

    /// Whether `ability` is in the set.
    pub const fn allows(self, ability: Ability) -> bool {
        self.all || self.bits & (1 << ability as u8) != 0
    }

    /// Whether this set includes all of `other`.
    pub const fn covers(self, other: Self) -> bool {
        self.all || (!other.all && other.bits & !self.bits == 0)
    }

    /// A set of one ability.
    pub const fn only(ability: Ability) -> Self {
        Self { all: false, bits: 1 << ability as u8 }
    }

    /// Parses names of abilities.
    ///
    /// # Errors
    /// A message that names an unknown ability and lists the known ones, or if there are no names.
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

    /// The names, `*` first, then in the order of [`Ability::EVERY`].
    pub fn names(self) -> Vec<&'static str> {
        let each = Ability::EVERY.iter().filter(|ability| self.bits & (1 << **ability as u8) != 0);
        let star = self.all.then_some("*");
        star.into_iter().chain(each.map(|ability| ability.as_str())).collect()
    }
}

/// An API token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The public id.
    pub id: TokenId,
    /// The workspace that it gives access to.
    pub workspace: WorkspaceId,
    /// The display name.
    pub name: String,
    /// The abilities.
    pub abilities: Abilities,
    /// SHA-256 of the secret. Generated secrets have more than 100 random bits, so a slow hash adds
    /// nothing.
    pub secret_sha256: [u8; 32],
    /// The first characters of the secret, to tell tokens apart; `None` in tokens of old versions.
    pub prefix: Option<String>,
    /// In milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// The expiry time, in milliseconds since the Unix epoch; `None` for no expiry.
    pub expires_at_ms: Option<u64>,
}

impl Token {
    /// Whether it has expired at this time.
    pub const fn is_expired_at(&self, now_ms: u64) -> bool {
        matches!(self.expires_at_ms, Some(until_ms) if until_ms <= now_ms)
    }

    /// Whether it is valid at this time and has all abilities, and so can manage all tokens.
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

/// The authenticated caller of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// The workspace that all results are scoped to.
    pub workspace: WorkspaceId,
    /// The token of the request; nil for the service itself.
    pub token: TokenId,
    /// The user and the role in the workspace; `None` for tokens without a user.
    pub user: Option<(UserId, Role)>,
    /// The workspace's plan.
    pub plan: Plan,
    /// The abilities.
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

    /// The operator, with all abilities in a workspace.
    pub const fn operator(workspace: WorkspaceId) -> Self {
        Self::new(workspace, TokenId::new(uuid::Uuid::nil()), Abilities::ALL)
    }

    /// The service itself, acting for a visitor.
    pub const fn service(workspace: WorkspaceId, ability: Ability) -> Self {
        Self { abilities: Abilities::only(ability), ..Self::operator(workspace) }
    }

    /// The actor as logged: the token's 16 bytes; empty for the service itself.
    pub fn in_log(&self) -> Vec<u8> {
        if self.token.uuid().is_nil() { Vec::new() } else { self.token.as_bytes().to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_allows_only_the_named_abilities() {
        let set = Abilities::parse(&["links:read", "user:write"]).unwrap();
        let allowed: Vec<_> =
            Ability::EVERY.iter().copied().filter(|ability| set.allows(*ability)).collect();
        assert_eq!(allowed, [Ability::LinksRead, Ability::UserWrite]);
        assert_eq!(set.names(), ["links:read", "user:write"]);
        assert!(Abilities::parse(&["links:reed"]).unwrap_err().contains("links:reed"));
        assert!(Abilities::parse::<&str>(&[]).is_err());
    }

    #[test]
    fn a_set_covers_only_its_subsets() {
        let read = Abilities::parse(&["links:read"]).unwrap();
        let both = Abilities::parse(&["links:read", "links:write"]).unwrap();
        assert!(both.covers(read) && !read.covers(both));
        assert!(Abilities::ALL.covers(both) && !both.covers(Abilities::ALL));
    }
}
