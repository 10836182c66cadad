//! The keys of the index: the keys of each [`Family`] start with its letter.

mod billing;
mod qr_codes;

pub use billing::*;
pub use qr_codes::*;

use super::group::Group;
use crate::domain::envelope::KNOWN_EVENTS;
use crate::domain::ids::{
    DomainId, InvitationId, LinkId, ReportId, SessionId, TokenId, UserId, WorkspaceId,
};
use crate::domain::link::folded;
use crate::domain::preset::{UtmPresetId, UtmPresetKind};

/// The number of the layout: bases and overlays with another one are not used.
const LAYOUT: u32 = 12;

/// The format of a base or an overlay: the layout, and the events that its writer knew.
pub const FORMAT: u64 = (KNOWN_EVENTS as u64) << 32 | LAYOUT as u64;

/// Whether a base or an overlay of a format can be used. If its writer knew more events, it may
/// contain some of them; the index is then rebuilt from the log, which rejects those.
pub const fn is_readable(format: u64) -> bool {
    format & u32::MAX as u64 == LAYOUT as u64 && format >> 32 <= KNOWN_EVENTS as u64
}

/// How the keys of a family are read, including the ways before it.
#[derive(Debug, Clone, Copy)]
enum Access {
    /// In order, by range.
    Scanned,
    /// By key: the filters of tables contain them.
    LookedUp,
    /// By key in the fold: the filters of runs contain them.
    Folded,
}

/// Declares all families: `Name = letter access,`, with the rest of the key → the value.
macro_rules! families {
    ($($(#[$doc:meta])* $name:ident = $letter:literal $access:ident,)*) => {
        /// A family of keys. No hostname, slug or group name holds a zero byte.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Family {
            $($(#[$doc])* $name = $letter,)*
        }

        const FAMILIES: &[(Family, Access)] = &[$((Family::$name, Access::$access),)*];
    };
}

families! {
    /// What the overlay is a projection of; see [`meta`](super::meta).
    Meta = b'm' Scanned,
    /// link → workspace, then the link (protobuf).
    Link = b'l' Folded,
    /// domain 0 slug → link.
    Slug = b's' LookedUp,
    /// workspace link → nothing: `UUIDv7` ids list the links in the order of their creation.
    LinkOfWorkspace = b'w' Scanned,
    /// workspace → how many links it has; workspace `d` → how many deleted ones can be
    /// restored; workspace `L` → how many changes of credits; workspace `I` → how many invoices;
    /// workspace `q` → how many QR codes of links that are not deleted; workspace `o` → how many
    /// logos.
    Count = b'n' Folded,
    /// hash of the secret → workspace, then the token (protobuf). After a rotation also under the
    /// hash of the previous secret.
    Token = b't' Folded,
    /// workspace token → the hash of its secret.
    TokenOfWorkspace = b'k' Folded,
    /// workspace → the workspace (protobuf).
    Workspace = b'o' Folded,
    /// workspace user → the member (protobuf).
    Member = b'M' Folded,
    /// user workspace → nothing.
    WorkspaceOfUser = b'W' Scanned,
    /// workspace invitation → when it is forgotten, then the invitation (protobuf).
    Invitation = b'V' Folded,
    /// user → the user (protobuf).
    User = b'u' Folded,
    /// user → nothing: the superadmins who can sign in.
    Superadmin = b'A' Scanned,
    /// keyed hash of an email address → user.
    UserByEmail = b'E' LookedUp,
    /// user session → when it ends, then the session (protobuf).
    Session = b'S' Folded,
    /// workspace key → when it expires, then the envelope that came with the idempotency key.
    Idempotency = b'i' Folded,
    /// 0 workspace report → when, then the report (protobuf), until it is resolved; 1 link →
    /// how many of its reports are open.
    Report = b'x' Folded,
    /// workspace group 0 link → nothing: the links of a [`Group`] in the order of their
    /// creation.
    GroupMember = b'G' Scanned,
    /// workspace group → how many links it has, then the first spelling of its name.
    Group = b'N' Folded,
    /// workspace external id → link.
    ExternalId = b'Y' LookedUp,
    /// workspace kind id → a campaign or a UTM template (protobuf).
    UtmPreset = b'P' Folded,
    /// workspace kind name → its id; the name in lower case.
    UtmPresetName = b'B' LookedUp,
    /// link or QR code, version → where in the log the version began, and when. Versions of what is
    /// gone stay: they are numbers that lead nowhere.
    Version = b'v' Scanned,
    /// workspace link → a deleted link that can be restored: until when, when and where it was
    /// deleted, then the link.
    Tombstone = b'd' Folded,
    /// workspace offset → an event of the workspace, in short: see [`audited`](super::audited).
    Audited = b'a' Scanned,
    /// time key → nothing: the idempotency keys and tombstones that expire, by time.
    Expiry = b'e' Scanned,
    /// workspace domain → the domain (protobuf).
    Domain = b'g' Folded,
    /// hostname 0 workspace → the domain by which the workspace claims the host.
    Claim = b'c' LookedUp,
    /// hostname → workspace, then the verified domain without its documents.
    VerifiedHost = b'h' Folded,
    /// workspace → its default domain.
    DefaultDomain = b'j' Folded,
    /// workspace → how many domains it has.
    DomainCount = b'q' Folded,
    /// workspace month counter → how many.
    Usage = b'U' Folded,
    /// plan → how many workspaces have it, other than as the default one.
    PlanCount = b'p' Folded,
    /// workspace → its credits (protobuf).
    Credits = b'C' Folded,
    /// workspace offset → a change of its credits (protobuf).
    Ledger = b'L' Scanned,
    /// workspace → its subscription (protobuf).
    Subscription = b'b' Folded,
    /// workspace, the provider's id of an invoice → the invoice (protobuf).
    Invoice = b'I' Folded,
    /// workspace, when an invoice was reported, the provider's id of it → nothing.
    InvoiceByTime = b'T' Scanned,
    /// provider, `:`, its id of a subscription, an invoice or a payment → workspace, then the id of
    /// the invoice, if it is of one.
    BillingReference = b'r' LookedUp,
    /// provider, `:`, the id of a report that was applied → nothing.
    ProviderReport = b'f' LookedUp,
    /// workspace, kind of credits → the auto-recharge (protobuf), if it was ever set.
    AutoRecharge = b'R' Folded,
    /// Numbers of users, workspaces and tokens: see [`numbers`](super::numbers).
    Number = b'#' Folded,
    /// QR code → workspace, its number, then the code (protobuf). Those of a deleted link that can be
    /// restored stay.
    QrCode = b'Q' Folded,
    /// link → the ids of its QR codes, oldest first.
    QrCodesOfLink = b'O' Folded,
    /// workspace QR code → the dialect that manages it, if any: those of links that are not deleted.
    QrCodeOfWorkspace = b'D' Scanned,
    /// number → QR code, link.
    QrNumber = b'F' LookedUp,
    /// workspace logo → the logo without its image (protobuf).
    Logo = b'H' Folded,
    /// workspace → the brand defaults of its QR codes (protobuf); workspace domain → those of the
    /// domain.
    QrDefaults = b'J' Folded,
}

const fn count(least: Access) -> usize {
    let (mut at, mut count) = (0, 0);
    while at < FAMILIES.len() {
        count += (FAMILIES[at].1 as u8 >= least as u8) as usize;
        at += 1;
    }
    count
}

const fn letters<const COUNT: usize>(least: Access) -> [u8; COUNT] {
    let (mut at, mut count, mut letters) = (0, 0, [0; COUNT]);
    while at < FAMILIES.len() {
        if FAMILIES[at].1 as u8 >= least as u8 {
            letters[count] = FAMILIES[at].0 as u8;
            count += 1;
        }
        at += 1;
    }
    letters
}

/// The letters of the keys that are looked up; the others are only scanned.
pub const LOOKED_UP: &[u8] = &letters::<{ count(Access::LookedUp) }>(Access::LookedUp);
/// The letters of the keys that the fold looks up.
pub const FOLDED_OVER: &[u8] = &letters::<{ count(Access::Folded) }>(Access::Folded);

impl Family {
    /// The prefix of all its keys.
    pub const fn prefix(self) -> [u8; 1] {
        [self as u8]
    }

    /// A key of the family.
    pub fn key(self, parts: &[&[u8]]) -> Vec<u8> {
        let mut key = vec![self as u8];
        for part in parts {
            key.extend_from_slice(part);
        }
        key
    }
}

/// Describes the origin of the overlay, not its content.
pub const META: &[u8] = &Family::Meta.prefix();

pub fn link(id: LinkId) -> Vec<u8> {
    Family::Link.key(&[id.as_bytes()])
}

pub fn slug(domain: &str, slug: &str) -> Vec<u8> {
    Family::Slug.key(&[domain.as_bytes(), &[0], slug.as_bytes()])
}

pub fn links_of(workspace: WorkspaceId) -> Vec<u8> {
    Family::LinkOfWorkspace.key(&[workspace.as_bytes()])
}

pub fn link_of(workspace: WorkspaceId, id: LinkId) -> Vec<u8> {
    Family::LinkOfWorkspace.key(&[workspace.as_bytes(), id.as_bytes()])
}

pub fn link_count(workspace: WorkspaceId) -> Vec<u8> {
    Family::Count.key(&[workspace.as_bytes()])
}

pub fn token(secret_sha256: &[u8]) -> Vec<u8> {
    Family::Token.key(&[secret_sha256])
}

pub fn tokens_of(workspace: WorkspaceId) -> Vec<u8> {
    Family::TokenOfWorkspace.key(&[workspace.as_bytes()])
}

pub fn token_of(workspace: WorkspaceId, id: TokenId) -> Vec<u8> {
    Family::TokenOfWorkspace.key(&[workspace.as_bytes(), id.as_bytes()])
}

pub const WORKSPACES: &[u8] = &Family::Workspace.prefix();

pub fn workspace(id: WorkspaceId) -> Vec<u8> {
    Family::Workspace.key(&[id.as_bytes()])
}

pub fn member_of(workspace: WorkspaceId, user: UserId) -> Vec<u8> {
    Family::Member.key(&[workspace.as_bytes(), user.as_bytes()])
}

pub fn members_of(workspace: WorkspaceId) -> Vec<u8> {
    Family::Member.key(&[workspace.as_bytes()])
}

pub const MEMBERSHIPS: &[u8] = &Family::WorkspaceOfUser.prefix();

pub fn workspace_of(user: UserId, workspace: WorkspaceId) -> Vec<u8> {
    Family::WorkspaceOfUser.key(&[user.as_bytes(), workspace.as_bytes()])
}

pub fn workspaces_of(user: UserId) -> Vec<u8> {
    Family::WorkspaceOfUser.key(&[user.as_bytes()])
}

pub const INVITATIONS: &[u8] = &Family::Invitation.prefix();

pub fn invitation(workspace: WorkspaceId, id: InvitationId) -> Vec<u8> {
    Family::Invitation.key(&[workspace.as_bytes(), id.as_bytes()])
}

pub fn invitations_of(workspace: WorkspaceId) -> Vec<u8> {
    Family::Invitation.key(&[workspace.as_bytes()])
}

pub const USERS: &[u8] = &Family::User.prefix();

pub fn user(id: UserId) -> Vec<u8> {
    Family::User.key(&[id.as_bytes()])
}

pub const SUPERADMINS: &[u8] = &Family::Superadmin.prefix();

pub fn superadmin(id: UserId) -> Vec<u8> {
    Family::Superadmin.key(&[id.as_bytes()])
}

pub fn user_by_email(email_hash: &[u8]) -> Vec<u8> {
    Family::UserByEmail.key(&[email_hash])
}

pub fn session(user: UserId, id: SessionId) -> Vec<u8> {
    Family::Session.key(&[user.as_bytes(), id.as_bytes()])
}

pub fn sessions_of(user: UserId) -> Vec<u8> {
    Family::Session.key(&[user.as_bytes()])
}

/// The last 16 bytes of a key: an id.
pub fn last_id(key: &[u8]) -> Option<[u8; 16]> {
    key.last_chunk().copied()
}

pub fn reports_of(workspace: WorkspaceId) -> Vec<u8> {
    Family::Report.key(&[&[0], workspace.as_bytes()])
}

pub fn report(workspace: WorkspaceId, id: ReportId) -> Vec<u8> {
    Family::Report.key(&[&[0], workspace.as_bytes(), id.as_bytes()])
}

pub fn open_reports(link: LinkId) -> Vec<u8> {
    Family::Report.key(&[&[1], link.as_bytes()])
}

pub fn domain(workspace: WorkspaceId, id: DomainId) -> Vec<u8> {
    Family::Domain.key(&[workspace.as_bytes(), id.as_bytes()])
}

pub fn domains_of(workspace: WorkspaceId) -> Vec<u8> {
    Family::Domain.key(&[workspace.as_bytes()])
}

pub fn claim(hostname: &str, workspace: WorkspaceId) -> Vec<u8> {
    Family::Claim.key(&[hostname.as_bytes(), &[0], workspace.as_bytes()])
}

pub fn claims_of(hostname: &str) -> Vec<u8> {
    Family::Claim.key(&[hostname.as_bytes(), &[0]])
}

pub const VERIFIED: &[u8] = &Family::VerifiedHost.prefix();

pub fn verified(hostname: &str) -> Vec<u8> {
    Family::VerifiedHost.key(&[hostname.as_bytes()])
}

pub fn default_domain(workspace: WorkspaceId) -> Vec<u8> {
    Family::DefaultDomain.key(&[workspace.as_bytes()])
}

pub fn domain_count(workspace: WorkspaceId) -> Vec<u8> {
    Family::DomainCount.key(&[workspace.as_bytes()])
}

pub fn idempotency(workspace: WorkspaceId, name: &str) -> Vec<u8> {
    Family::Idempotency.key(&[workspace.as_bytes(), name.as_bytes()])
}

/// The versions of a link or a QR code, by its 16 bytes.
pub fn versions_of(subject: &[u8; 16]) -> Vec<u8> {
    Family::Version.key(&[subject])
}

pub fn member(workspace: WorkspaceId, group: &Group, id: LinkId) -> Vec<u8> {
    Family::GroupMember.key(&[workspace.as_bytes(), &group.key(), &[0], id.as_bytes()])
}

pub fn members(workspace: WorkspaceId, group: &Group) -> Vec<u8> {
    Family::GroupMember.key(&[workspace.as_bytes(), &group.key(), &[0]])
}

/// The members of groups whose names start with this group's.
pub fn members_below(workspace: WorkspaceId, group: &Group) -> Vec<u8> {
    Family::GroupMember.key(&[workspace.as_bytes(), &group.key()])
}

pub fn group(workspace: WorkspaceId, group: &Group) -> Vec<u8> {
    Family::Group.key(&[workspace.as_bytes(), &group.key()])
}

pub fn external(workspace: WorkspaceId, external_id: &str) -> Vec<u8> {
    Family::ExternalId.key(&[workspace.as_bytes(), external_id.as_bytes()])
}

const fn letter(kind: UtmPresetKind) -> u8 {
    match kind {
        UtmPresetKind::Campaign => b'c',
        UtmPresetKind::Template => b'u',
    }
}

pub fn presets_of(workspace: WorkspaceId, kind: UtmPresetKind) -> Vec<u8> {
    Family::UtmPreset.key(&[workspace.as_bytes(), &[letter(kind)]])
}

pub fn preset(workspace: WorkspaceId, id: UtmPresetId) -> Vec<u8> {
    Family::UtmPreset.key(&[workspace.as_bytes(), &[letter(id.kind())], id.uuid().as_bytes()])
}

pub fn preset_named(workspace: WorkspaceId, kind: UtmPresetKind, name: &str) -> Vec<u8> {
    Family::UtmPresetName.key(&[workspace.as_bytes(), &[letter(kind)], folded(name).as_bytes()])
}

pub fn version(subject: &[u8; 16], number: u32) -> Vec<u8> {
    Family::Version.key(&[subject, &number.to_be_bytes()])
}

/// The version number in a version's key.
pub fn version_number(key: &[u8]) -> Option<u32> {
    key.get(17..)?.try_into().ok().map(u32::from_be_bytes)
}

pub fn tombstones_of(workspace: WorkspaceId) -> Vec<u8> {
    Family::Tombstone.key(&[workspace.as_bytes()])
}

pub fn tombstone(workspace: WorkspaceId, link: LinkId) -> Vec<u8> {
    Family::Tombstone.key(&[workspace.as_bytes(), link.as_bytes()])
}

pub fn tombstone_count(workspace: &[u8]) -> Vec<u8> {
    Family::Count.key(&[workspace, b"d"])
}

pub fn audited_of(workspace: WorkspaceId) -> Vec<u8> {
    Family::Audited.key(&[workspace.as_bytes()])
}

pub fn audited(workspace: WorkspaceId, offset: u64) -> Vec<u8> {
    Family::Audited.key(&[workspace.as_bytes(), &offset.to_be_bytes()])
}

/// The offset in an event's key.
pub fn audited_offset(key: &[u8]) -> Option<u64> {
    key.get(17..)?.try_into().ok().map(u64::from_be_bytes)
}

/// The expiry of the entry with this key.
pub fn expiry(at_ms: u64, of: &[u8]) -> Vec<u8> {
    Family::Expiry.key(&[&at_ms.to_be_bytes(), of])
}

/// The start of the expiries at or after a time.
pub fn expiries_from(at_ms: u64) -> Vec<u8> {
    Family::Expiry.key(&[&at_ms.to_be_bytes()])
}

pub const TOMBSTONES: &[u8] = &Family::Tombstone.prefix();
pub const EXPIRIES_LETTER: u8 = Family::Expiry as u8;
pub const EXPIRIES: &[u8] = &Family::Expiry.prefix();
/// The first key after all expiries.
pub const EXPIRIES_END: &[u8] = &[EXPIRIES_LETTER + 1];

/// Decodes an expiry: its time, and the key that expires.
pub fn expired(key: &[u8]) -> Option<(u64, &[u8])> {
    let at = key.get(1..9)?.try_into().ok().map(u64::from_be_bytes)?;
    Some((at, key.get(9..)?))
}
