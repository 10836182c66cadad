//! The commands: requests for changes, in the imperative.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::domains::{Domain, DomainInput};
use super::hostname::Hostname;
use super::ids::{DomainId, ImportId, LinkId, ReportId, TokenId};
use super::link::{Link, LinkInput};
use super::plan::command::BillingCommand;
use super::plan::state::CreditGrant;
use super::preset::{UtmPreset, UtmPresetId, UtmPresetInput, UtmPresetKind};
use super::qr::QrCode;
use super::qr::command::QrCommand;
use super::report::{Complaint, Report};
use super::session::SessionState;
use super::slug::Slug;
use super::token::{Abilities, Ability, Token};
use super::user::command::UserCommand;
use super::user::state::UserState;
use super::workspace::command::WorkspaceCommand;
use super::workspace::state::{InvitationState, MemberState, WorkspaceState};

/// A command for the dispatcher.
#[derive(Debug, Clone)]
pub enum Command {
    /// Creates a link.
    CreateLink(LinkInput),
    /// Replaces all fields of a link. Absent fields get their defaults, except the slug.
    ReplaceLink(LinkRef, LinkInput, Expected),
    /// Changes the fields that are present.
    ChangeLink(LinkRef, LinkInput, Expected),
    /// Deletes a link.
    DeleteLink(LinkRef, Expected),
    /// Creates the link with this external id, or replaces it as [`ReplaceLink`](Self::ReplaceLink)
    /// does.
    UpsertLink(String, LinkInput, Expected),
    /// Imports a link, which may exist already.
    ImportLink(Box<Import>),
    /// Creates a campaign or a UTM template.
    CreatePreset(UtmPresetKind, UtmPresetInput),
    /// Changes the fields that are present.
    ChangePreset(UtmPresetId, UtmPresetInput),
    /// Deletes it; a campaign must have no links.
    DeletePreset(UtmPresetId),
    /// Permanently removes a link, whether it is deleted or not.
    PurgeLink(LinkRef, Expected),
    /// Restores a deleted link.
    RestoreLink {
        /// The link.
        link: LinkId,
        /// The version that its deletion made, as read by the caller.
        deleted_version: u32,
        /// The new slug; the former one if absent.
        slug: Option<String>,
    },
    /// Reverts a link to the slug and the fields of an earlier version.
    RevertLink {
        /// The link at the earlier version.
        to: Box<Link>,
        /// The version that the caller has read.
        expected: Expected,
    },
    /// Creates an API token.
    CreateToken(Box<NewToken>),
    /// Changes the fields of a token that are present.
    ChangeToken(TokenId, TokenChange),
    /// Replaces the secret of a token.
    RotateToken {
        /// The token.
        id: TokenId,
        /// The new secret.
        secret: NewSecret,
        /// For how long the previous secret is still accepted, in milliseconds.
        overlap_ms: u64,
    },
    /// Revokes a token.
    RevokeToken(TokenId),
    /// Changes a user or a session.
    User(UserCommand),
    /// Changes the workspace, its members or its invitations.
    Workspace(WorkspaceCommand),
    /// Changes the plan, the usage or the credits of the workspace.
    Billing(BillingCommand),
    /// Reports a link to its owner, on behalf of a visitor.
    ReportLink(LinkId, Complaint),
    /// Resolves a report.
    ResolveReport(ReportId),
    /// Claims a domain.
    AddDomain(DomainInput),
    /// Changes the settings of a domain that are present.
    ChangeDomain(DomainRef, DomainInput),
    /// Verifies a domain after its challenge was found.
    VerifyDomain(DomainId, String),
    /// Removes a domain.
    RemoveDomain(DomainRef),
    /// Changes QR codes, logos or brand defaults.
    Qr(QrCommand),
}

impl Command {
    /// The ability that the actor needs.
    pub const fn ability(&self) -> Ability {
        match self {
            Self::CreateLink(_) | Self::RestoreLink { .. } => Ability::LinksCreate,
            Self::ReplaceLink(..) | Self::ChangeLink(..) | Self::RevertLink { .. } => {
                Ability::LinksUpdate
            }
            Self::DeleteLink(..) | Self::PurgeLink(..) => Ability::LinksDelete,
            Self::ReportLink(..)
            | Self::ResolveReport(_)
            | Self::UpsertLink(..)
            | Self::ImportLink(_)
            | Self::CreatePreset(..)
            | Self::ChangePreset(..)
            | Self::DeletePreset(_)
            | Self::AddDomain(_)
            | Self::ChangeDomain(..)
            | Self::VerifyDomain(..)
            | Self::RemoveDomain(_) => Ability::LinksWrite,
            Self::CreateToken(_)
            | Self::ChangeToken(..)
            | Self::RotateToken { .. }
            | Self::RevokeToken(_)
            | Self::User(_) => Ability::UserWrite,
            Self::Workspace(command) => command.ability(),
            Self::Billing(command) => command.ability(),
            Self::Qr(command) => command.ability(),
        }
    }
}

impl Command {
    /// How a link that the command makes is paid for, if not as others are.
    pub const fn payment(&self) -> Option<Payment> {
        match self {
            Self::ImportLink(import) => Some(import.payment),
            _ => None,
        }
    }

    /// The link fields in the command.
    pub const fn link_input(&mut self) -> Option<&mut LinkInput> {
        match self {
            Self::CreateLink(input)
            | Self::ReplaceLink(_, input, _)
            | Self::ChangeLink(_, input, _)
            | Self::UpsertLink(_, input, _) => Some(input),
            Self::ImportLink(import) => Some(&mut import.input),
            Self::DeleteLink(..)
            | Self::PurgeLink(..)
            | Self::RestoreLink { .. }
            | Self::RevertLink { .. }
            | Self::CreatePreset(..)
            | Self::ChangePreset(..)
            | Self::DeletePreset(_)
            | Self::CreateToken(_)
            | Self::ChangeToken(..)
            | Self::RotateToken { .. }
            | Self::RevokeToken(_)
            | Self::User(_)
            | Self::Workspace(_)
            | Self::Billing(_)
            | Self::ReportLink(..)
            | Self::ResolveReport(_)
            | Self::AddDomain(_)
            | Self::ChangeDomain(..)
            | Self::VerifyDomain(..)
            | Self::RemoveDomain(_)
            | Self::Qr(_) => None,
        }
    }
}

/// The secret of a token, which the dispatcher never sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSecret {
    /// SHA-256 of the secret.
    pub sha256: [u8; 32],
    /// The first characters of the secret.
    pub prefix: String,
}

/// A token to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// The display name.
    pub name: String,
    /// The abilities; a subset of the creator's.
    pub abilities: Abilities,
    /// The expiry time, in milliseconds since the Unix epoch.
    pub expires_at_ms: Option<u64>,
    /// The networks from which it is accepted; all if empty.
    pub networks: Vec<IpNet>,
    /// Whether it is a machine token of the workspace, rather than the user's.
    pub is_machine: bool,
    /// The secret.
    pub secret: NewSecret,
}

/// A change of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenChange {
    /// The display name.
    pub name: Option<String>,
    /// The abilities.
    pub abilities: Option<Abilities>,
    /// The expiry time, in milliseconds since the Unix epoch; `Some(None)` for never.
    pub expires_at_ms: Option<Option<u64>>,
    /// The networks from which it is accepted.
    pub networks: Option<Vec<IpNet>>,
    /// Whether requests with it are refused.
    pub is_disabled: Option<bool>,
}

/// A link of an imported file.
#[derive(Debug, Clone)]
pub struct Import {
    /// The fields of the link.
    pub input: LinkInput,
    /// The domain in the exported product; used if the input names none and the workspace has
    /// that domain.
    pub from_host: Option<String>,
    /// What to do if a link has the same external id, or else the same slug.
    pub on_conflict: OnConflict,
    /// How it is paid for.
    pub payment: Payment,
}

/// How an imported link is paid for, if it is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payment {
    /// The credits that an import has reserved are used first.
    Reserved(ImportId),
    /// Not at all: a dry run has made so many links before, which are not logged.
    DryRun(u64),
}

/// What to do if an imported link exists already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// Reject the imported link.
    #[default]
    Reject,
    /// Keep the existing link.
    Skip,
    /// Replace all fields of the existing link.
    Replace,
}

impl OnConflict {
    /// All values.
    pub const EVERY: [Self; 3] = [Self::Reject, Self::Skip, Self::Replace];

    /// `reject`, `skip` or `replace`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Skip => "skip",
            Self::Replace => "replace",
        }
    }
}

/// The result for an imported link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The link was created.
    Created,
    /// The existing link was changed.
    Replaced,
    /// The existing link was identical.
    Unchanged,
    /// The existing link was kept.
    Skipped,
}

/// The version that the caller has read (`If-Match`); `None` for any.
pub type Expected = Option<u32>;

/// A reference to a link in a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkRef {
    /// By its id.
    Id(LinkId),
    /// By its slug on a domain; empty for the default one.
    Slug(String, Slug),
    /// By its external id.
    ExternalId(String),
}

impl LinkRef {
    /// Parses a path segment; `None` if it can't refer to a link.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(id) = text.parse() {
            return Some(Self::Id(id));
        }
        Slug::is_wellformed(text).then(|| Self::Slug(String::new(), Slug::from_log(text)))
    }
}

/// A reference to a domain in a path or a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainRef {
    /// By its id.
    Id(DomainId),
    /// By its hostname.
    Hostname(Hostname),
}

impl DomainRef {
    /// Parses a reference; `None` if it can't refer to a domain.
    pub fn parse(text: &str) -> Option<Self> {
        let id = text.parse().ok().map(Self::Id);
        id.or_else(|| Hostname::parse(text).ok().map(Self::Hostname))
    }
}

/// The result of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The current link.
    Link(Box<Link>),
    /// The link with the external id, and whether it was created.
    Upserted(Box<Link>, bool),
    /// The imported or the existing link, and what happened to it.
    Imported(Box<Link>, Fate),
    /// The current campaign or UTM template.
    UtmPreset(Box<UtmPreset>),
    /// The current token.
    Token(Box<Token>),
    /// The current user.
    User(Box<UserState>),
    /// The session that was started.
    Session(Box<SessionState>),
    /// The current workspace.
    Workspace(Box<WorkspaceState>),
    /// The current member.
    Member(Box<MemberState>),
    /// The current invitation.
    Invitation(Box<InvitationState>),
    /// The credits that were granted.
    Granted(Box<CreditGrant>),
    /// The accepted report; `None` if the link has too many open reports.
    Report(Option<Box<Report>>),
    /// The current domain.
    Domain(Box<Domain>),
    /// The current QR code.
    QrCode(Box<QrCode>),
    /// The resource was removed, or the command has no other result.
    Gone,
}
