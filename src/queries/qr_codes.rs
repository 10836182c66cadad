//! Reads QR codes, their versions, logos and brand defaults.
//!
//! The index has the current codes, and where in the mutation log their versions and the images of
//! logos are.

use std::sync::Arc;

use super::history::{Part, decode};
use crate::domain::action::Action;
use crate::domain::command::LinkRef;
use crate::domain::domains::Domain;
use crate::domain::error::{Result, ServiceError, Unreadable};
use crate::domain::event::Event;
use crate::domain::ids::{DomainId, LogoId, QrCodeId, TokenId, UserId, WorkspaceId};
use crate::domain::link::Link;
use crate::domain::qr::{QrCode, QrDefaults, StoredLogo};
use crate::projections::history::History;
pub use crate::projections::index::LinkedQrCode;
use crate::projections::index::{Index, ReadDomains, ReadQrCodes, Version};

/// A version of a QR code.
#[derive(Debug)]
pub struct QrCodeVersion {
    /// When the version was created, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The token that created it; `None` for sessions and the service itself.
    pub actor: Option<TokenId>,
    /// The user who created it; `None` for machine tokens and the service itself.
    pub user: Option<UserId>,
    /// The action that created it.
    pub action: Action,
    /// The version that it reverted to, if any.
    pub reverted_to: Option<u32>,
    /// The code in this version.
    pub code: QrCode,
}

/// Reads QR codes. Cheap to clone.
#[derive(Clone)]
pub struct QrCodes {
    index: Arc<Index>,
    history: History,
}

impl QrCodes {
    /// Creates a reader over this index and its log.
    pub const fn new(index: Arc<Index>, history: History) -> Self {
        Self { index, history }
    }

    /// A code of a workspace, unless its link is deleted.
    pub fn get(&self, workspace: WorkspaceId, id: QrCodeId) -> Result<Option<LinkedQrCode>> {
        Ok(self.index.linked_qr_code(workspace, id)?)
    }

    /// A code of any workspace, unless its link is deleted: for its public image.
    pub fn of_any_workspace(&self, id: QrCodeId) -> Result<Option<LinkedQrCode>> {
        let found = self.index.stored_qr_code(id)?;
        found.map_or(Ok(None), |(code, _)| self.get(code.workspace, id))
    }

    /// The oldest code of a link.
    pub fn oldest_of(
        &self,
        workspace: WorkspaceId,
        named: &LinkRef,
    ) -> Result<Option<LinkedQrCode>> {
        let Some(link) = self.index.link_in(workspace, named)? else { return Ok(None) };
        let oldest = self.index.qr_code_ids(link.id)?.first().copied();
        Ok(oldest.map(|id| self.get(workspace, id)).transpose()?.flatten())
    }

    /// A workspace's codes before `before`, newest first, skipping `skip`.
    pub async fn list(
        &self,
        workspace: WorkspaceId,
        part: (Option<QrCodeId>, usize, usize),
    ) -> Result<Part<LinkedQrCode, QrCodeId>> {
        self.spawn_blocking(move |reader| {
            let (items, next) = reader.index.qr_codes(workspace, part)?;
            Ok(Part { items, total: reader.index.qr_code_count(workspace)?, next })
        })
        .await
    }

    /// The codes of a workspace that a dialect manages, newest first: `limit` of them after `skip`,
    /// and the number of all.
    pub async fn list_of_dialect(
        &self,
        workspace: WorkspaceId,
        dialect: &'static str,
        part: (usize, usize),
    ) -> Result<(Vec<LinkedQrCode>, u64)> {
        self.spawn_blocking(move |reader| {
            Ok(reader.index.qr_codes_of_dialect(workspace, dialect, part)?)
        })
        .await
    }

    /// The code of a link that a dialect manages.
    pub fn of_dialect(&self, link: &Link, dialect: &str) -> Result<Option<LinkedQrCode>> {
        let codes = self.index.qr_codes_of_link(link.id)?.into_iter();
        let mut own = codes.filter(|(code, _)| code.dialect.as_deref() == Some(dialect));
        Ok(own.next().map(|(code, number)| LinkedQrCode { code, number, link: link.clone() }))
    }

    /// How many codes a workspace has, without those of deleted links.
    pub fn count(&self, workspace: WorkspaceId) -> Result<u64> {
        Ok(self.index.qr_code_count(workspace)?)
    }

    /// The codes of a link before `before`, newest first, skipping `skip`.
    pub fn list_of(
        &self,
        link: &Link,
        (before, skip, limit): (Option<QrCodeId>, usize, usize),
    ) -> Result<Part<LinkedQrCode, QrCodeId>> {
        let codes = self.index.qr_codes_of_link(link.id)?;
        let total = codes.len() as u64;
        let newest_first = codes.into_iter().rev();
        let after = newest_first.filter(|(code, _)| before.is_none_or(|before| code.id < before));
        let linked = |(code, number)| LinkedQrCode { code, number, link: link.clone() };
        let mut items: Vec<_> = after.skip(skip).take(limit + 1).map(linked).collect();
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_more).map(|last| last.code.id);
        Ok(Part { items, total, next })
    }

    /// The versions of a code before `before`, newest first, skipping `skip`.
    pub async fn versions(
        &self,
        code: &QrCode,
        (before, skip, limit): (Option<u32>, u64, usize),
    ) -> Result<Part<QrCodeVersion, u32>> {
        let (id, workspace, newest) = (code.id, code.workspace, code.version);
        self.spawn_blocking(move |reader| {
            let skip = u32::try_from(skip).unwrap_or(u32::MAX);
            let first = before.map_or(newest, |before| newest.min(before.saturating_sub(1)));
            let first = first.saturating_sub(skip);
            let versions = match first {
                0 => Vec::new(),
                first => reader.index.versions(id.as_bytes(), first, limit)?,
            };
            let next = versions.last().map(|last| last.number).filter(|last| *last > 1);
            let items = versions.into_iter().map(|version| reader.read(workspace, version));
            Ok(Part { items: items.collect::<Result<_>>()?, total: newest.into(), next })
        })
        .await
    }

    /// One version of a code.
    pub async fn version(&self, code: &QrCode, number: u32) -> Result<Option<QrCodeVersion>> {
        let (id, workspace, newest) = (code.id, code.workspace, code.version);
        self.spawn_blocking(move |reader| {
            let version = reader.index.version(id.as_bytes(), number)?;
            let version = version.filter(|version| version.number <= newest);
            version.map(|version| reader.read(workspace, version)).transpose()
        })
        .await
    }

    /// A logo of a workspace.
    pub fn logo(&self, workspace: WorkspaceId, id: LogoId) -> Result<Option<StoredLogo>> {
        Ok(self.index.logo(workspace, id)?)
    }

    /// A workspace's logos, newest first.
    pub fn logos(&self, workspace: WorkspaceId) -> Result<Vec<StoredLogo>> {
        Ok(self.index.logos(workspace)?)
    }

    /// The image of a logo of a workspace.
    pub async fn logo_image(&self, workspace: WorkspaceId, id: LogoId) -> Result<Option<Vec<u8>>> {
        let Some(offset) = self.index.logo_offset(workspace, id)? else { return Ok(None) };
        self.spawn_blocking(move |reader| {
            match decode(reader.history.change(offset)?, workspace)?.0 {
                Event::LogoStored(logo) => Ok(Some(logo.image)),
                _ => Err(Unreadable("logo").into()),
            }
        })
        .await
    }

    /// The brand defaults of a workspace, or of one of its domains.
    pub fn defaults(&self, workspace: WorkspaceId, domain: Option<DomainId>) -> Result<QrDefaults> {
        Ok(self.index.qr_defaults(workspace, domain)?)
    }

    /// The domains of a workspace that have brand defaults, with these.
    pub async fn defaults_of_domains(
        &self,
        workspace: WorkspaceId,
    ) -> Result<Vec<(Domain, QrDefaults)>> {
        self.spawn_blocking(move |reader| Ok(reader.index.qr_defaults_of_domains(workspace)?)).await
    }

    /// The brand defaults of a link's workspace and of its domain.
    pub fn defaults_of(&self, link: &Link) -> Result<[QrDefaults; 2]> {
        Ok(self.index.qr_defaults_at(link.workspace, &link.fields.domain)?)
    }

    fn read(&self, workspace: WorkspaceId, version: Version) -> Result<QrCodeVersion> {
        let envelope = self.history.change(version.offset)?;
        let user = UserId::from_bytes(&envelope.user).ok();
        let (event, actor) = decode(envelope, workspace)?;
        let action = Action::of(&event);
        let (Event::QrCodeCreated(state) | Event::QrCodeChanged(state)) = event else {
            return Err(Unreadable("version of a QR code").into());
        };
        let (at_ms, reverted_to) = (version.at_ms, state.reverted_to);
        let code = state.into_code(workspace)?;
        Ok(QrCodeVersion { at_ms, actor, user, action, reverted_to, code })
    }

    /// Runs `work` on a blocking thread.
    async fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let reader = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&reader)).await;
        done.unwrap_or_else(|error| Err(ServiceError::internal(error)))
    }
}
