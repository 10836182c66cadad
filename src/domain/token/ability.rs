//! Abilities: the permissions that each route declares and each credential grants.

macro_rules! abilities {
    ($($(#[$doc:meta])* $name:ident = $text:literal is $bits:expr;)*) => {
        /// A permission. Each route declares the one that it requires.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Ability { $($(#[$doc])* $name),* }

        impl Ability {
            /// All abilities.
            pub const EVERY: &'static [Self] = &[$(Self::$name),*];

            /// The name in requests and responses.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            const fn bits(self) -> u32 {
                match self { $(Self::$name => $bits),* }
            }
        }
    };
}

abilities! {
    /// Read links.
    LinksRead = "links:read" is 1;
    /// Create, change and delete links: the next three together.
    LinksWrite = "links:write" is 1 << 1 | 1 << 2 | 1 << 3;
    /// Create links.
    LinksCreate = "links:create" is 1 << 1;
    /// Change links.
    LinksUpdate = "links:update" is 1 << 2;
    /// Delete links.
    LinksDelete = "links:delete" is 1 << 3;
    /// Read analytics.
    AnalyticsRead = "analytics:read" is 1 << 4;
    /// Read QR codes.
    QrRead = "qr:read" is 1 << 5;
    /// Create, change and delete QR codes.
    QrWrite = "qr:write" is 1 << 6;
    /// Read the account, its workspaces and its tokens.
    UserRead = "user:read" is 1 << 7;
    /// Change the account and its tokens.
    UserWrite = "user:write" is 1 << 8;
    /// Record conversion events.
    EventsWrite = "events:write" is 1 << 9;
    /// Read the workspace's audit log.
    AuditRead = "audit:read" is 1 << 10;
    /// Invite and remove members, and change their roles.
    MembersWrite = "members:write" is 1 << 11;
    /// Rename the workspace.
    WorkspaceWrite = "workspace:write" is 1 << 12;
    /// Change what the workspace pays for.
    BillingWrite = "billing:write" is 1 << 13;
}

/// A set of abilities. `*` is stored separately: it includes abilities of future versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities {
    all: bool,
    bits: u32,
}

impl Abilities {
    /// All abilities, including future ones: those of an owner.
    pub const ALL: Self = Self { all: true, bits: 0 };
    /// What every user may do: read and change the account.
    pub const ACCOUNT: Self = Self::of(&[Ability::UserRead, Ability::UserWrite]);
    /// No ability.
    pub const NONE: Self = Self { all: false, bits: 0 };

    /// Whether `ability` is in the set.
    pub const fn allows(self, ability: Ability) -> bool {
        self.all || ability.bits() & !self.bits == 0
    }

    /// Whether this set includes all of `other`.
    pub const fn covers(self, other: Self) -> bool {
        self.all || (!other.all && other.bits & !self.bits == 0)
    }

    /// The abilities in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self.all, other.all) {
            (true, _) => other,
            (_, true) => self,
            _ => Self { all: false, bits: self.bits & other.bits },
        }
    }

    /// A set of one ability.
    pub const fn only(ability: Ability) -> Self {
        Self { all: false, bits: ability.bits() }
    }

    /// A set of some abilities.
    pub const fn of(abilities: &[Ability]) -> Self {
        let (mut at, mut bits) = (0, 0);
        while at < abilities.len() {
            bits |= abilities[at].bits();
            at += 1;
        }
        Self { all: false, bits }
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
            set.bits |= ability.bits();
        }
        if set == Self::NONE { Err("must not be empty".to_owned()) } else { Ok(set) }
    }

    /// The names, `*` first, then in the order of [`Ability::EVERY`]; the shortest list.
    pub fn names(self) -> Vec<&'static str> {
        let mut names = Vec::from_iter(self.all.then_some("*"));
        let mut seen = 0;
        for ability in Ability::EVERY {
            let bits = ability.bits();
            if bits & !self.bits == 0 && bits & !seen != 0 {
                seen |= bits;
                names.push(ability.as_str());
            }
        }
        names
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
    fn writing_links_is_creating_updating_and_deleting_them() {
        let parts = Abilities::parse(&["links:delete", "links:create"]).unwrap();
        assert!(parts.allows(Ability::LinksCreate) && !parts.allows(Ability::LinksWrite));
        assert_eq!(parts.names(), ["links:create", "links:delete"]);
        let all = Abilities::parse(&["links:delete", "links:create", "links:update"]).unwrap();
        assert!(all.allows(Ability::LinksWrite));
        assert_eq!(all.names(), ["links:write"]);
        assert_eq!(all, Abilities::parse(&["links:write"]).unwrap());
    }

    #[test]
    fn a_set_covers_only_its_subsets() {
        let read = Abilities::parse(&["links:read"]).unwrap();
        let both = Abilities::parse(&["links:read", "links:write"]).unwrap();
        assert!(both.covers(read) && !read.covers(both));
        assert!(Abilities::ALL.covers(both) && !both.covers(Abilities::ALL));
        assert_eq!((both.and(read), Abilities::ALL.and(read)), (read, read));
        assert_eq!(both.and(Abilities::ALL), both);
    }
}
