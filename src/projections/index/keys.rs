//! The layout of the index: each kind of key has a letter of its own in front.
//!
//! | key | value |
//! |---|---|
//! | `m` | what the overlay is a projection of; see [`meta`](super::meta) |
//! | `l` link | workspace, then the link (protobuf) |
//! | `s` domain 0 slug | link |
//! | `w` workspace link | nothing; UUIDv7 ids list a workspace's links in the order they were made |
//! | `n` workspace | how many links it has |
//! | `t` secret's hash | workspace, then the token (protobuf) |
//! | `k` workspace token | the secret's hash |
//! | `o` workspace | its name |
//! | `i` workspace key | until when, then the envelope that first came with this idempotency key |
//! | `x` 0 workspace report | when, then the report (protobuf), while it is not dealt with |
//! | `x` 1 link | how many reports of it are not dealt with |
//! | `G` workspace group 0 link | nothing; the links of a [`Group`] in the order they were made |
//! | `N` workspace group | how many these are, then how the group's name was first spelled |
//! | `Y` workspace external id | link |
//! | `P` workspace kind id | a campaign or a UTM template (protobuf) |
//! | `B` workspace kind name | its id; the name in lower case |
//! | `v` link version | where in the log the version began, and when |
//! | `d` workspace link | a deleted link that can be restored: until when, when and where it was deleted, then the link |
//! | `n` workspace `d` | how many of these there are |
//! | `a` workspace offset | an event of the workspace, in short: see [`audited`](super::audited) |
//! | `e` time key | nothing; the `i` and `d` keys that are to go, in the order of when they go |
//! | `c g h j q` | domains; see [`domains`](super::domains) |
//!
//! A purged link's versions stay: they are numbers, and nobody is led to them. What they were stands
//! in the log alone, as the purge itself does.

use super::group::Group;
use crate::domain::envelope::KNOWN_EVENTS;
use crate::domain::ids::{DomainId, LinkId, ReportId, TokenId, WorkspaceId};
use crate::domain::link::folded;
use crate::domain::preset::{PresetId, PresetKind};

/// The layout's number: another one in a base or in an overlay means that it is not used.
const LAYOUT: u32 = 6;

/// What a base or an overlay says of its format: the layout, and which events its writer knew.
pub const FORMAT: u64 = (KNOWN_EVENTS as u64) << 32 | LAYOUT as u64;

/// Whether a base or an overlay of a format can be used. Where its writer knew more events it can't:
/// it may hold some of them folded. The index is then made from the log, which refuses those.
pub const fn is_readable(format: u64) -> bool {
    format & u32::MAX as u64 == LAYOUT as u64 && format >> 32 <= KNOWN_EVENTS as u64
}

/// Says where the overlay comes from, not what is in it.
pub const META: &[u8] = b"m";

/// The letters of the keys that are looked up one by one; the others are only scanned.
pub const LOOKED_UP: &[u8] = b"BNPYcdghijklnoqstx";
/// Those of them that the fold itself looks up.
pub const FOLDED_OVER: &[u8] = b"NPdghijklnqtx";

fn key(letter: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![letter];
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

pub fn link(id: LinkId) -> Vec<u8> {
    key(b'l', &[id.as_bytes()])
}

pub fn slug(domain: &str, slug: &str) -> Vec<u8> {
    key(b's', &[domain.as_bytes(), &[0], slug.as_bytes()])
}

pub fn links_of(workspace: WorkspaceId) -> Vec<u8> {
    key(b'w', &[workspace.as_bytes()])
}

pub fn link_of(workspace: WorkspaceId, id: LinkId) -> Vec<u8> {
    key(b'w', &[workspace.as_bytes(), id.as_bytes()])
}

pub fn link_count(workspace: WorkspaceId) -> Vec<u8> {
    key(b'n', &[workspace.as_bytes()])
}

pub fn token(secret_sha256: &[u8]) -> Vec<u8> {
    key(b't', &[secret_sha256])
}

pub fn tokens_of(workspace: WorkspaceId) -> Vec<u8> {
    key(b'k', &[workspace.as_bytes()])
}

pub fn token_of(workspace: WorkspaceId, id: TokenId) -> Vec<u8> {
    key(b'k', &[workspace.as_bytes(), id.as_bytes()])
}

pub const WORKSPACES: &[u8] = b"o";

pub fn workspace(id: WorkspaceId) -> Vec<u8> {
    key(b'o', &[id.as_bytes()])
}

pub fn reports_of(workspace: WorkspaceId) -> Vec<u8> {
    key(b'x', &[&[0], workspace.as_bytes()])
}

pub fn report(workspace: WorkspaceId, id: ReportId) -> Vec<u8> {
    key(b'x', &[&[0], workspace.as_bytes(), id.as_bytes()])
}

pub fn open_reports(link: LinkId) -> Vec<u8> {
    key(b'x', &[&[1], link.as_bytes()])
}

pub fn domain(workspace: WorkspaceId, id: DomainId) -> Vec<u8> {
    key(b'g', &[workspace.as_bytes(), id.as_bytes()])
}

pub fn domains_of(workspace: WorkspaceId) -> Vec<u8> {
    key(b'g', &[workspace.as_bytes()])
}

pub fn claim(hostname: &str, workspace: WorkspaceId) -> Vec<u8> {
    key(b'c', &[hostname.as_bytes(), &[0], workspace.as_bytes()])
}

pub fn claims_of(hostname: &str) -> Vec<u8> {
    key(b'c', &[hostname.as_bytes(), &[0]])
}

pub const VERIFIED: &[u8] = b"h";

pub fn verified(hostname: &str) -> Vec<u8> {
    key(b'h', &[hostname.as_bytes()])
}

pub fn default_domain(workspace: WorkspaceId) -> Vec<u8> {
    key(b'j', &[workspace.as_bytes()])
}

pub fn domain_count(workspace: WorkspaceId) -> Vec<u8> {
    key(b'q', &[workspace.as_bytes()])
}

pub fn idempotency(workspace: WorkspaceId, name: &str) -> Vec<u8> {
    key(b'i', &[workspace.as_bytes(), name.as_bytes()])
}

pub fn versions_of(link: LinkId) -> Vec<u8> {
    key(b'v', &[link.as_bytes()])
}

pub fn member(workspace: WorkspaceId, group: &Group, id: LinkId) -> Vec<u8> {
    key(b'G', &[workspace.as_bytes(), &group.key(), &[0], id.as_bytes()])
}

pub fn members(workspace: WorkspaceId, group: &Group) -> Vec<u8> {
    key(b'G', &[workspace.as_bytes(), &group.key(), &[0]])
}

/// The members of groups whose names begin so.
pub fn members_below(workspace: WorkspaceId, group: &Group) -> Vec<u8> {
    key(b'G', &[workspace.as_bytes(), &group.key()])
}

pub fn group(workspace: WorkspaceId, group: &Group) -> Vec<u8> {
    key(b'N', &[workspace.as_bytes(), &group.key()])
}

pub fn external(workspace: WorkspaceId, external_id: &str) -> Vec<u8> {
    key(b'Y', &[workspace.as_bytes(), external_id.as_bytes()])
}

const fn letter(kind: PresetKind) -> u8 {
    match kind {
        PresetKind::Campaign => b'c',
        PresetKind::Template => b'u',
    }
}

pub fn presets_of(workspace: WorkspaceId, kind: PresetKind) -> Vec<u8> {
    key(b'P', &[workspace.as_bytes(), &[letter(kind)]])
}

pub fn preset(workspace: WorkspaceId, id: PresetId) -> Vec<u8> {
    key(b'P', &[workspace.as_bytes(), &[letter(id.kind())], id.uuid().as_bytes()])
}

pub fn preset_named(workspace: WorkspaceId, kind: PresetKind, name: &str) -> Vec<u8> {
    key(b'B', &[workspace.as_bytes(), &[letter(kind)], folded(name).as_bytes()])
}

pub fn version(link: LinkId, number: u32) -> Vec<u8> {
    key(b'v', &[link.as_bytes(), &number.to_be_bytes()])
}

/// What stands behind the link in a version's key.
pub fn version_number(key: &[u8]) -> Option<u32> {
    key.get(17..)?.try_into().ok().map(u32::from_be_bytes)
}

pub fn tombstones_of(workspace: WorkspaceId) -> Vec<u8> {
    key(b'd', &[workspace.as_bytes()])
}

pub fn tombstone(workspace: WorkspaceId, link: LinkId) -> Vec<u8> {
    key(b'd', &[workspace.as_bytes(), link.as_bytes()])
}

pub fn tombstone_count(workspace: &[u8]) -> Vec<u8> {
    key(b'n', &[workspace, b"d"])
}

pub fn audited_of(workspace: WorkspaceId) -> Vec<u8> {
    key(b'a', &[workspace.as_bytes()])
}

pub fn audited(workspace: WorkspaceId, offset: u64) -> Vec<u8> {
    key(b'a', &[workspace.as_bytes(), &offset.to_be_bytes()])
}

/// What stands behind the workspace in an event's key.
pub fn audited_offset(key: &[u8]) -> Option<u64> {
    key.get(17..)?.try_into().ok().map(u64::from_be_bytes)
}

/// The thing with this key goes at some time.
pub fn expiry(at_ms: u64, of: &[u8]) -> Vec<u8> {
    key(b'e', &[&at_ms.to_be_bytes(), of])
}

/// Where the keys of what goes at some time begin.
pub fn expiries_from(at_ms: u64) -> Vec<u8> {
    key(b'e', &[&at_ms.to_be_bytes()])
}

pub const TOMBSTONES: &[u8] = b"d";
pub const EXPIRIES_LETTER: u8 = b'e';
pub const EXPIRIES: &[u8] = &[EXPIRIES_LETTER];
/// The first key after all expiries.
pub const EXPIRIES_END: &[u8] = b"f";

/// Takes an expiry key apart: when, and the key of what goes.
pub fn expired(key: &[u8]) -> Option<(u64, &[u8])> {
    let at = key.get(1..9)?.try_into().ok().map(u64::from_be_bytes)?;
    Some((at, key.get(9..)?))
}
