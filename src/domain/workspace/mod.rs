//! Workspaces: the tenants, with their members and invitations.

pub mod command;
pub mod state;

use crate::domain::named_enum;
use crate::domain::token::{Abilities, Ability};

/// The maximum length of a workspace's name, in characters.
pub const MAX_NAME_CHARS: usize = 100;

named_enum! {
    /// A user's role in a workspace.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[repr(u8)]
    pub enum Role {
        /// May do everything, including deleting the workspace. Each workspace has at most one.
        Owner = 1 => "owner",
        /// Manages links, tokens and members.
        Admin = 2 => "admin",
        /// Manages links.
        Member = 3 => "member",
        /// Reads links and analytics.
        Viewer = 4 => "viewer",
        /// Sees the workspace and its members, and changes what the workspace pays for.
        Billing = 5 => "billing",
    }
}

impl Role {
    /// The roles that can be given to a member; ownership is transferred instead.
    pub const ASSIGNABLE: [Self; 4] = [Self::Admin, Self::Member, Self::Viewer, Self::Billing];

    /// The role with this number in the log, if any.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::EVERY.iter().copied().find(|role| *role as u32 == number)
    }

    /// What the role may do in the workspace: the only table of it.
    pub const fn abilities(self) -> Abilities {
        match self {
            Self::Owner => Abilities::ALL,
            Self::Admin => Abilities::of(Ability::EVERY),
            Self::Member => Abilities::of(&[
                Ability::LinksRead,
                Ability::LinksWrite,
                Ability::AnalyticsRead,
                Ability::QrRead,
                Ability::QrWrite,
                Ability::EventsWrite,
                Ability::UserRead,
                Ability::UserWrite,
            ]),
            Self::Viewer => Abilities::of(&[
                Ability::LinksRead,
                Ability::AnalyticsRead,
                Ability::QrRead,
                Ability::UserRead,
                Ability::UserWrite,
            ]),
            Self::Billing => {
                Abilities::of(&[Ability::UserRead, Ability::UserWrite, Ability::BillingWrite])
            }
        }
    }

    /// Whether it can be given to a member.
    pub const fn is_assignable(self) -> bool {
        !matches!(self, Self::Owner)
    }

    /// Whether it manages the tokens of others.
    pub const fn manages_tokens(self) -> bool {
        matches!(self, Self::Owner | Self::Admin)
    }
}
