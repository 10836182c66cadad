//! QR codes, logos and brand defaults in the index: folding and reading.

use std::ops::Bound;

use prost::Message;

use super::domains::ReadDomains;
use super::encoding::{BROKEN_ID, number, split_workspace};
use super::fold::record_version;
use super::read::{Read, ReadRanges};
use super::state::{State, add_to};
use super::{Index, IndexError, keys, store};
use crate::domain::domains::Domain;
use crate::domain::error::Unreadable;
use crate::domain::event::{Event, LogoStored, QrCodeState};
use crate::domain::ids::{DomainId, LinkId, LogoId, QrCodeId, WorkspaceId};
use crate::domain::link::Link;
use crate::domain::qr::look::Look;
use crate::domain::qr::state::LookState;
use crate::domain::qr::{QrCode, QrDefaults, StoredLogo};

const ID_BYTES: usize = 16;

/// A logo without its image.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct LogoEntry {
    #[prost(string, tag = "1")]
    content_type: String,
    /// The length of the image, in bytes.
    #[prost(uint64, tag = "2")]
    bytes: u64,
    #[prost(uint64, tag = "3")]
    created_at_ms: u64,
    /// The offset in the log.
    #[prost(uint64, tag = "4")]
    offset: u64,
    /// How many codes and defaults have it.
    #[prost(uint64, tag = "5")]
    uses: u64,
}

/// A QR code of a link that is not deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedQrCode {
    /// The code.
    pub code: QrCode,
    /// Its number: the offset of its creation in the log.
    pub number: u64,
    /// The link.
    pub link: Link,
}

/// Reads QR codes, logos and brand defaults.
pub trait ReadQrCodes: Read {
    /// A code with its number, whether or not its link is deleted.
    fn stored_qr_code(&self, id: QrCodeId) -> Result<Option<(QrCode, u64)>, IndexError> {
        let value = self.get(&keys::qr_code(id))?;
        let code = value.map(|value| decode_code(&value)).transpose();
        code.map_err(|error| self.report_damage(error))
    }

    /// A code of a workspace with its link, unless that is deleted.
    fn linked_qr_code(
        &self,
        workspace: WorkspaceId,
        id: QrCodeId,
    ) -> Result<Option<LinkedQrCode>, IndexError> {
        let found = self.stored_qr_code(id)?.filter(|(code, _)| code.workspace == workspace);
        let Some((code, number)) = found else { return Ok(None) };
        Ok(self.link(code.link)?.map(|link| LinkedQrCode { code, number, link }))
    }

    /// The code with a number, and its link, which may be deleted.
    fn qr_code_numbered(&self, number: u64) -> Result<Option<(QrCodeId, LinkId)>, IndexError> {
        let Some(value) = self.get(&keys::qr_number(number))? else { return Ok(None) };
        let ids = value.split_at_checked(ID_BYTES).and_then(|(code, link)| {
            Some((QrCodeId::from_bytes(code).ok()?, LinkId::from_bytes(link).ok()?))
        });
        ids.map(Some).ok_or_else(|| self.report_damage(BROKEN_ID))
    }

    /// The ids of a link's codes, oldest first.
    fn qr_code_ids(&self, link: LinkId) -> Result<Vec<QrCodeId>, IndexError> {
        let ids = self.get(&keys::qr_codes_of_link(link))?.unwrap_or_default();
        let ids = ids.chunks(ID_BYTES).map(|id| QrCodeId::from_bytes(id).map_err(|_| BROKEN_ID));
        ids.collect::<Result<_, _>>().map_err(|error| self.report_damage(error))
    }

    /// A link's codes with their numbers, oldest first.
    fn qr_codes_of_link(&self, link: LinkId) -> Result<Vec<(QrCode, u64)>, IndexError> {
        let ids = self.qr_code_ids(link)?.into_iter();
        ids.map(|id| self.stored_qr_code(id)).filter_map(Result::transpose).collect()
    }

    /// How many codes a workspace has, without those of deleted links.
    fn qr_code_count(&self, workspace: WorkspaceId) -> Result<u64, IndexError> {
        Ok(self.get(&keys::qr_code_count(workspace))?.as_deref().map_or(0, number))
    }

    /// A logo of a workspace.
    fn logo(&self, workspace: WorkspaceId, id: LogoId) -> Result<Option<StoredLogo>, IndexError> {
        let entry = read_entry(self, workspace, id)?;
        Ok(entry.map(|entry| stored(id, entry)))
    }

    /// The offset in the log at which a logo of a workspace was stored: its image is there.
    fn logo_offset(&self, workspace: WorkspaceId, id: LogoId) -> Result<Option<u64>, IndexError> {
        Ok(read_entry(self, workspace, id)?.map(|entry| entry.offset))
    }

    /// How many logos a workspace has.
    fn logo_count(&self, workspace: WorkspaceId) -> Result<u64, IndexError> {
        Ok(self.get(&keys::logo_count(workspace))?.as_deref().map_or(0, number))
    }

    /// A workspace's logos, newest first.
    fn logos(&self, workspace: WorkspaceId) -> Result<Vec<StoredLogo>, IndexError>
    where
        Self: ReadRanges,
    {
        let rows = self.rows(&keys::logos_of(workspace))?.into_iter();
        let logos = rows.map(|(key, value)| {
            let id = keys::last_id(&key).and_then(|bytes| LogoId::from_bytes(&bytes).ok());
            Ok(stored(id.ok_or(BROKEN_ID)?, LogoEntry::decode(value.as_slice())?))
        });
        let logos = logos.collect::<Result<Vec<_>, IndexError>>();
        let mut logos = logos.map_err(|error| self.report_damage(error))?;
        logos.sort_by_key(|logo| std::cmp::Reverse(logo.created_at_ms));
        Ok(logos)
    }

    /// The brand defaults of a workspace, or of one of its domains.
    fn qr_defaults(
        &self,
        workspace: WorkspaceId,
        domain: Option<DomainId>,
    ) -> Result<QrDefaults, IndexError> {
        let value = self.get(&keys::qr_defaults(workspace, domain))?.unwrap_or_default();
        let look = LookState::decode(value.as_slice()).map_err(IndexError::from);
        let look = look.and_then(|look| Ok(look.into_changes()?));
        Ok(QrDefaults { look: look.map_err(|error| self.report_damage(error))? })
    }

    /// The brand defaults of a workspace and of a domain (empty: the service's own, without any).
    fn qr_defaults_at(
        &self,
        workspace: WorkspaceId,
        hostname: &str,
    ) -> Result<[QrDefaults; 2], IndexError> {
        let domain = if hostname.is_empty() { None } else { self.verified(hostname)? };
        let of_domain = domain.map(|domain| self.qr_defaults(workspace, Some(domain.id)));
        let of_domain = of_domain.transpose()?.unwrap_or_default();
        Ok([self.qr_defaults(workspace, None)?, of_domain])
    }

    /// How a new code looks by default, for a link on a domain.
    fn default_look(&self, workspace: WorkspaceId, hostname: &str) -> Result<Look, IndexError> {
        let mut look = Look::default();
        for defaults in self.qr_defaults_at(workspace, hostname)? {
            defaults.look.apply_to(&mut look);
        }
        Ok(look)
    }
}

impl<R: Read + ?Sized> ReadQrCodes for R {}

impl Index {
    /// A workspace's codes before `before`, newest first, skipping `skip`, without those of deleted
    /// links; and the last one, if others follow.
    pub fn qr_codes(
        &self,
        workspace: WorkspaceId,
        (before, skip, limit): (Option<QrCodeId>, usize, usize),
    ) -> Result<(Vec<LinkedQrCode>, Option<QrCodeId>), IndexError> {
        let before = before.map(|id| keys::qr_code_of(workspace, id));
        let (from, end) = store::prefixed(&keys::qr_codes_of(workspace));
        let layers = self.layers.load();
        let rows = layers.rows((from, before.map_or(end, Bound::Excluded)), true);
        let mut rows = rows.skip(skip).peekable();
        let (mut codes, mut last) = (Vec::new(), None);
        for row in rows.by_ref().take(limit) {
            let id = self.listed_id(&row?.0)?;
            last = Some(id);
            // A code deleted in the meantime is skipped.
            codes.extend(self.linked_qr_code(workspace, id)?);
        }
        Ok((codes, last.filter(|_| rows.peek().is_some())))
    }

    /// The codes of a workspace that a dialect manages, newest first, without those of deleted
    /// links: `limit` of them after `skip`, and the number of all.
    pub fn qr_codes_of_dialect(
        &self,
        workspace: WorkspaceId,
        dialect: &str,
        (skip, limit): (usize, usize),
    ) -> Result<(Vec<LinkedQrCode>, u64), IndexError> {
        let (from, end) = store::prefixed(&keys::qr_codes_of(workspace));
        let layers = self.layers.load();
        let (mut codes, mut total) = (Vec::new(), 0);
        for row in layers.rows((from, end), true) {
            let (key, value) = row?;
            if value != dialect.as_bytes() {
                continue;
            }
            if total >= skip && total - skip < limit {
                codes.extend(self.linked_qr_code(workspace, self.listed_id(&key)?)?);
            }
            total += 1;
        }
        Ok((codes, total as u64))
    }

    /// The domains of a workspace that have brand defaults, with these.
    pub fn qr_defaults_of_domains(
        &self,
        workspace: WorkspaceId,
    ) -> Result<Vec<(Domain, QrDefaults)>, IndexError> {
        let of_workspace = keys::qr_defaults(workspace, None);
        let layers = self.layers.load();
        let mut found = Vec::new();
        for row in layers.rows(store::prefixed(&of_workspace), false) {
            let (key, _) = row?;
            if key == of_workspace {
                continue;
            }
            let id = keys::last_id(&key).and_then(|bytes| DomainId::from_bytes(&bytes).ok());
            let id = id.ok_or_else(|| self.report_damage(BROKEN_ID))?;
            if let Some(domain) = self.domain(workspace, id)? {
                found.push((domain, self.qr_defaults(workspace, Some(id))?));
            }
        }
        Ok(found)
    }

    /// The code that a row of a workspace's list is about.
    fn listed_id(&self, key: &[u8]) -> Result<QrCodeId, IndexError> {
        let id = keys::last_id(key).and_then(|bytes| QrCodeId::from_bytes(&bytes).ok());
        id.ok_or_else(|| self.report_damage(BROKEN_ID))
    }
}

/// Decodes a code and its number.
fn decode_code(value: &[u8]) -> Result<(QrCode, u64), IndexError> {
    let (workspace, rest) = split_workspace(value)?;
    let (at, state) = rest.split_at_checked(8).ok_or(BROKEN_ID)?;
    Ok((QrCodeState::decode(state)?.into_code(workspace)?, number(at)))
}

fn read_entry<R: Read + ?Sized>(
    state: &R,
    workspace: WorkspaceId,
    id: LogoId,
) -> Result<Option<LogoEntry>, IndexError> {
    let value = state.get(&keys::logo(workspace, id))?;
    let entry = value.map(|value| LogoEntry::decode(value.as_slice())).transpose();
    entry.map_err(|error| state.report_damage(error.into()))
}

fn stored(id: LogoId, entry: LogoEntry) -> StoredLogo {
    let LogoEntry { content_type, bytes, created_at_ms, uses, .. } = entry;
    StoredLogo { id, content_type, bytes, created_at_ms, uses }
}

/// Folds an event of a QR code, a logo or brand defaults, at an offset and a time.
pub fn fold<S: State>(
    state: &mut S,
    (offset, at_ms): (u64, u64),
    workspace: WorkspaceId,
    event: &Event,
) -> Result<(), IndexError> {
    match event {
        Event::QrCodeCreated(code) => create(state, workspace, code, offset),
        Event::QrCodeChanged(code) => {
            let Some((before, number)) = state.stored_qr_code(code_id(&code.id)?)? else {
                return Ok(());
            };
            count_logo(state, workspace, before.style.logo.map(|placed| placed.logo), -1)?;
            put(state, workspace, code, (number, offset))
        }
        Event::QrCodeDeleted(deleted) => delete(state, workspace, code_id(&deleted.id)?),
        Event::LogoStored(logo) => store_logo(state, workspace, logo, (offset, at_ms)),
        Event::LogoDeleted(deleted) => {
            let key = keys::logo(workspace, logo_id(&deleted.id)?);
            if state.get(&key)?.is_some() {
                state.remove(key);
                add_to(state, keys::logo_count(workspace), -1)?;
            }
            Ok(())
        }
        Event::QrDefaultsChanged(changed) => {
            set_defaults(state, workspace, changed.domain_id()?, changed.look.as_ref())
        }
        _ => Err(IndexError::Broken("an event that is not of a QR code")),
    }
}

fn create<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    code: &QrCodeState,
    offset: u64,
) -> Result<(), IndexError> {
    let (id, link) = (code_id(&code.id)?, link_id(&code.link)?);
    put(state, workspace, code, (offset, offset))?;
    let ids = [id.as_bytes().as_slice(), link.as_bytes()].concat();
    state.put(keys::qr_number(offset), ids);
    let key = keys::qr_codes_of_link(link);
    let mut of_link = state.get(&key)?.unwrap_or_default();
    of_link.extend(id.as_bytes());
    state.put(key, of_link);
    state.put(
        keys::qr_code_of(workspace, id),
        code.dialect.clone().unwrap_or_default().into_bytes(),
    );
    add_to(state, keys::qr_code_count(workspace), 1)
}

/// Stores a version of a code, made at an offset.
fn put<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    code: &QrCodeState,
    (number, offset): (u64, u64),
) -> Result<(), IndexError> {
    let id = code_id(&code.id)?;
    record_version(state, id.as_bytes(), (code.version, code.updated_at_ms), offset);
    let logo = code.look.as_ref().map(LookState::logo_id).transpose()?.flatten();
    count_logo(state, workspace, logo, 1)?;
    let mut value = [workspace.as_bytes().as_slice(), &number.to_be_bytes()].concat();
    // The reversion belongs to the event, not to the code.
    value.extend(QrCodeState { reverted_to: None, ..code.clone() }.encode_to_vec());
    state.put(keys::qr_code(id), value);
    Ok(())
}

/// Deletes a code of a link that is not deleted.
fn delete<S: State>(state: &mut S, workspace: WorkspaceId, id: QrCodeId) -> Result<(), IndexError> {
    let Some((code, number)) = state.stored_qr_code(id)? else { return Ok(()) };
    let mut of_link = state.qr_code_ids(code.link)?;
    of_link.retain(|other| *other != id);
    let key = keys::qr_codes_of_link(code.link);
    if of_link.is_empty() {
        state.remove(key);
    } else {
        state.put(key, of_link.iter().flat_map(QrCodeId::as_bytes).copied().collect());
    }
    state.remove(keys::qr_code_of(workspace, id));
    add_to(state, keys::qr_code_count(workspace), -1)?;
    remove(state, workspace, &code, number)
}

/// Removes what is stored of a code that is in no list.
fn remove<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    code: &QrCode,
    number: u64,
) -> Result<(), IndexError> {
    state.remove(keys::qr_code(code.id));
    state.remove(keys::qr_number(number));
    count_logo(state, workspace, code.style.logo.map(|placed| placed.logo), -1)
}

/// Takes the codes of a link, which was deleted, out of the workspace's list.
pub fn tombstone<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    link: LinkId,
) -> Result<(), IndexError> {
    let ids = state.qr_code_ids(link)?;
    for id in &ids {
        state.remove(keys::qr_code_of(workspace, *id));
    }
    count_codes(state, workspace, ids.len(), -1)
}

/// Lists the codes of a restored link again.
pub fn untombstone<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    link: LinkId,
) -> Result<(), IndexError> {
    let codes = state.qr_codes_of_link(link)?;
    for (code, _) in &codes {
        let dialect = code.dialect.clone().unwrap_or_default();
        state.put(keys::qr_code_of(workspace, code.id), dialect.into_bytes());
    }
    count_codes(state, workspace, codes.len(), 1)
}

fn count_codes<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    count: usize,
    sign: i64,
) -> Result<(), IndexError> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    // A workspace without codes has no count.
    if count > 0 { add_to(state, keys::qr_code_count(workspace), sign * count) } else { Ok(()) }
}

/// Removes the codes of a deleted link that can't be restored any more.
pub fn purge<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    link: LinkId,
) -> Result<(), IndexError> {
    let codes = state.qr_codes_of_link(link)?;
    if codes.is_empty() {
        return Ok(());
    }
    for (code, number) in codes {
        remove(state, workspace, &code, number)?;
    }
    state.remove(keys::qr_codes_of_link(link));
    Ok(())
}

fn store_logo<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    logo: &LogoStored,
    (offset, created_at_ms): (u64, u64),
) -> Result<(), IndexError> {
    let key = keys::logo(workspace, logo_id(&logo.id)?);
    let (content_type, bytes) = (logo.content_type.clone(), logo.image.len() as u64);
    let entry = LogoEntry { content_type, bytes, created_at_ms, offset, uses: 0 };
    state.put(key, entry.encode_to_vec());
    add_to(state, keys::logo_count(workspace), 1)
}

/// Counts a use of a logo more or less.
fn count_logo<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    logo: Option<LogoId>,
    change: i64,
) -> Result<(), IndexError> {
    let Some(id) = logo else { return Ok(()) };
    let Some(entry) = read_entry(state, workspace, id)? else { return Ok(()) };
    let entry = LogoEntry { uses: entry.uses.saturating_add_signed(change), ..entry };
    state.put(keys::logo(workspace, id), entry.encode_to_vec());
    Ok(())
}

/// Replaces the brand defaults of a workspace, or of one of its domains.
pub fn set_defaults<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    domain: Option<DomainId>,
    look: Option<&LookState>,
) -> Result<(), IndexError> {
    let key = keys::qr_defaults(workspace, domain);
    if let Some(before) = state.get(&key)? {
        let logo = LookState::decode(before.as_slice())?.logo_id()?;
        count_logo(state, workspace, logo, -1)?;
        state.remove(key.clone());
    }
    if let Some(look) = look {
        count_logo(state, workspace, look.logo_id()?, 1)?;
        state.put(key, look.encode_to_vec());
    }
    Ok(())
}

fn code_id(bytes: &[u8]) -> Result<QrCodeId, Unreadable> {
    QrCodeId::from_bytes(bytes).map_err(|_| Unreadable("QR code id"))
}

fn link_id(bytes: &[u8]) -> Result<LinkId, Unreadable> {
    LinkId::from_bytes(bytes).map_err(|_| Unreadable("link id"))
}

fn logo_id(bytes: &[u8]) -> Result<LogoId, Unreadable> {
    LogoId::from_bytes(bytes).map_err(|_| Unreadable("logo id"))
}
