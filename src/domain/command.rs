//! What somebody can ask for, in the imperative.

use serde::{Deserialize, Serialize};

use super::domains::{Domain, DomainInput};
use super::hostname::Hostname;
use super::ids::{DomainId, LinkId, ReportId, TokenId};
use super::link::{Link, LinkInput};
use super::preset::{Preset, PresetId, PresetInput, PresetKind};
use super::report::{Complaint, Report};
use super::slug::Slug;
use super::token::{Abilities, Ability, Token};

/// A wish that the dispatcher decides on.
#[derive(Debug, Clone)]
pub enum Command {
    /// A new link.
    CreateLink(LinkInput),
    /// Each field anew; what isn't named falls back to its default, but for the slug.
    ReplaceLink(LinkRef, LinkInput, Expected),
    /// Some fields anew.
    ChangeLink(LinkRef, LinkInput, Expected),
    /// The link goes.
    DeleteLink(LinkRef, Expected),
    /// The link with this external id: a new one, or as with [`ReplaceLink`](Self::ReplaceLink).
    UpsertLink(String, LinkInput, Expected),
    /// A link that comes from elsewhere, and perhaps was here before.
    ImportLink(Box<Import>),
    /// A new campaign or UTM template.
    CreatePreset(PresetKind, PresetInput),
    /// Some of its fields anew.
    ChangePreset(PresetId, PresetInput),
    /// It goes; a campaign only once no link belongs to it.
    DeletePreset(PresetId),
    /// The link, deleted or not, goes for good.
    PurgeLink(LinkRef, Expected),
    /// The deleted link comes back.
    RestoreLink {
        /// Which one.
        link: LinkId,
        /// The version that its deletion made, as the caller has seen it.
        deleted_version: u32,
        /// Where it is to answer; where it did when absent.
        slug: Option<String>,
    },
    /// The link gets the slug and the fields that it had at an earlier version.
    RevertLink {
        /// The link as it was.
        to: Box<Link>,
        /// The version that the caller has seen.
        expected: Expected,
    },
    /// A new API token.
    CreateToken {
        /// What its maker calls it.
        name: String,
        /// What it may do: no more than its maker.
        abilities: Abilities,
        /// From when on it is no longer valid, in milliseconds since the Unix epoch.
        expires_at_ms: Option<u64>,
        /// SHA-256 of the secret, which the dispatcher never sees.
        secret_sha256: [u8; 32],
        /// How the secret begins.
        prefix: String,
    },
    /// The token is no longer good.
    RevokeToken(TokenId),
    /// A visitor tells the owner of a link of it.
    ReportLink(LinkId, Complaint),
    /// A report has been dealt with.
    ResolveReport(ReportId),
    /// A claim to a domain.
    AddDomain(DomainInput),
    /// Some settings of a domain anew.
    ChangeDomain(DomainRef, DomainInput),
    /// The domain was found to show this challenge.
    VerifyDomain(DomainId, String),
    /// The domain goes.
    RemoveDomain(DomainRef),
}

impl Command {
    /// What the actor must be allowed.
    pub const fn ability(&self) -> Ability {
        match self {
            Self::CreateLink(_)
            | Self::ReplaceLink(..)
            | Self::ChangeLink(..)
            | Self::DeleteLink(..)
            | Self::PurgeLink(..)
            | Self::RestoreLink { .. }
            | Self::RevertLink { .. }
            | Self::ReportLink(..)
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
            Self::CreateToken { .. } | Self::RevokeToken(_) => Ability::UserWrite,
        }
    }
}

impl Command {
    /// What the command asks a link to be.
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
            | Self::CreateToken { .. }
            | Self::RevokeToken(_)
            | Self::ReportLink(..)
            | Self::ResolveReport(_)
            | Self::AddDomain(_)
            | Self::ChangeDomain(..)
            | Self::VerifyDomain(..)
            | Self::RemoveDomain(_) => None,
        }
    }
}

/// A link of a file that comes from elsewhere.
#[derive(Debug, Clone)]
pub struct Import {
    /// What it is to be.
    pub input: LinkInput,
    /// The domain that it had there: its own here too, where the input names none and the
    /// workspace has it.
    pub from_host: Option<String>,
    /// What if there is a link with its external id, or else at its slug.
    pub on_conflict: OnConflict,
}

/// What becomes of a link from elsewhere where there is one already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// It is refused.
    #[default]
    Reject,
    /// The one that is there stays as it is.
    Skip,
    /// The one that is there gets each field anew.
    Replace,
}

impl OnConflict {
    /// All of them.
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

/// What became of a link from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is new.
    Created,
    /// It was there, and has changed.
    Replaced,
    /// It was there, just so.
    Unchanged,
    /// It was there, and was left alone.
    Skipped,
}

/// The version that the caller has seen (`If-Match`); `None`: any.
pub type Expected = Option<u32>;

/// A link as a path names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkRef {
    /// By its id.
    Id(LinkId),
    /// By its slug on the default domain.
    Slug(Slug),
    /// By what another system calls it.
    ExternalId(String),
}

impl LinkRef {
    /// Reads a path segment; `None` when no link can be named so.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(id) = text.parse() {
            return Some(Self::Id(id));
        }
        Slug::is_wellformed(text).then(|| Self::Slug(Slug::from_log(text)))
    }
}

/// A domain as a path or a link names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainRef {
    /// By its id.
    Id(DomainId),
    /// By its host.
    Hostname(Hostname),
}

impl DomainRef {
    /// Reads a name; `None` when no domain can be named so.
    pub fn parse(text: &str) -> Option<Self> {
        let id = text.parse().ok().map(Self::Id);
        id.or_else(|| Hostname::parse(text).ok().map(Self::Hostname))
    }
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The link as it stands now.
    Link(Box<Link>),
    /// The link that an external id names now, and whether it is a new one.
    Upserted(Box<Link>, bool),
    /// The link that came from elsewhere, or the one that was there, and which of the two.
    Imported(Box<Link>, Fate),
    /// The campaign or UTM template as it stands now.
    Preset(Box<Preset>),
    /// The token as it stands now.
    Token(Box<Token>),
    /// The report as it was taken; `None` where so many wait that it says nothing new.
    Report(Option<Box<Report>>),
    /// The domain as it stands now.
    Domain(Box<Domain>),
    /// It is gone.
    Gone,
}
