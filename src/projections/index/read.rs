//! Reads of the index, the same for the applied and the pending state.

use prost::Message;
use uuid::Uuid;

use super::encoding::{
    BROKEN_ID, Tombstone, counted, decode_link, decode_preset, decode_report, decode_token, number,
};
use super::group::Group;
use super::{IndexError, keys};
use crate::domain::event::Envelope;
use crate::domain::ids::{LinkId, ReportId, TokenId, WorkspaceId};
use crate::domain::link::Link;
use crate::domain::preset::{UtmPreset, UtmPresetId, UtmPresetKind};
use crate::domain::report::Report;
use crate::domain::token::Token;

/// Reads of one consistent view of the index.
pub trait Read {
    /// The raw value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError>;

    /// Reports an invalid value, and returns the error.
    fn report_damage(&self, error: IndexError) -> IndexError {
        error
    }

    /// A link by its ID.
    fn link(&self, id: LinkId) -> Result<Option<Link>, IndexError> {
        let link = self.get(&keys::link(id))?.map(|value| decode_link(&value)).transpose();
        link.map_err(|error| self.report_damage(error))
    }

    /// The link at a normalized slug of a domain (empty: the default domain).
    fn slug_at(&self, domain: &str, form: &str) -> Result<Option<LinkId>, IndexError> {
        let id = self.get(&keys::slug(domain, form))?;
        let id = id.map(|bytes| LinkId::from_bytes(&bytes).map_err(|_| BROKEN_ID)).transpose();
        id.map_err(|error| self.report_damage(error))
    }

    /// A deleted link of a workspace, while it is kept.
    fn tombstone(
        &self,
        workspace: WorkspaceId,
        id: LinkId,
    ) -> Result<Option<Tombstone>, IndexError> {
        let value = self.get(&keys::tombstone(workspace, id))?;
        let tombstone = value.map(|value| Tombstone::decode(&value)).transpose();
        tombstone.map_err(|error| self.report_damage(error))
    }

    /// The number of deleted links of a workspace.
    fn tombstone_count(&self, workspace: WorkspaceId) -> Result<u64, IndexError> {
        let count = self.get(&keys::tombstone_count(workspace.as_bytes()))?;
        Ok(count.as_deref().map_or(0, number))
    }

    /// The number of links of a workspace.
    fn link_count(&self, workspace: WorkspaceId) -> Result<u64, IndexError> {
        Ok(self.get(&keys::link_count(workspace))?.as_deref().map_or(0, number))
    }

    /// The link of a workspace with this external ID.
    fn external(
        &self,
        workspace: WorkspaceId,
        external_id: &str,
    ) -> Result<Option<LinkId>, IndexError> {
        let id = self.get(&keys::external(workspace, external_id))?;
        let id = id.map(|bytes| LinkId::from_bytes(&bytes).map_err(|_| BROKEN_ID)).transpose();
        id.map_err(|error| self.report_damage(error))
    }

    /// The number of links in a group.
    fn group_count(&self, workspace: WorkspaceId, group: &Group) -> Result<u64, IndexError> {
        let value = self.get(&keys::group(workspace, group))?;
        Ok(value.as_deref().and_then(counted).map_or(0, |(count, _)| count))
    }

    /// A campaign or a UTM template of a workspace.
    fn preset(
        &self,
        workspace: WorkspaceId,
        id: UtmPresetId,
    ) -> Result<Option<UtmPreset>, IndexError> {
        let value = self.get(&keys::preset(workspace, id))?;
        let preset = value.map(|value| decode_preset(workspace, id.kind(), &value)).transpose();
        preset.map_err(|error| self.report_damage(error))
    }

    /// The campaign or UTM template of a workspace with this name, ignoring case.
    fn preset_named(
        &self,
        workspace: WorkspaceId,
        kind: UtmPresetKind,
        name: &str,
    ) -> Result<Option<UtmPresetId>, IndexError> {
        let id = self.get(&keys::preset_named(workspace, kind, name))?;
        let id = id.map(|bytes| Uuid::from_slice(&bytes).map_err(|_| BROKEN_ID)).transpose();
        Ok(id.map_err(|error| self.report_damage(error))?.map(|uuid| kind.id(uuid)))
    }

    /// The token with this secret.
    fn token_by_secret(&self, secret_sha256: &[u8]) -> Result<Option<Token>, IndexError> {
        let value = self.get(&keys::token(secret_sha256))?;
        let token = value.map(|value| decode_token(&value)).transpose();
        token.map_err(|error| self.report_damage(error))
    }

    /// A token by its ID, if it belongs to this workspace.
    fn token(&self, workspace: WorkspaceId, id: TokenId) -> Result<Option<Token>, IndexError> {
        match self.get(&keys::token_of(workspace, id))? {
            Some(secret_sha256) => self.token_by_secret(&secret_sha256),
            None => Ok(None),
        }
    }

    /// An open report, if it belongs to this workspace.
    fn report(&self, workspace: WorkspaceId, id: ReportId) -> Result<Option<Report>, IndexError> {
        let value = self.get(&keys::report(workspace, id))?;
        let report = value.map(|value| decode_report(workspace, &value)).transpose();
        report.map_err(|error| self.report_damage(error))
    }

    /// The number of open reports of a link.
    fn open_reports(&self, link: LinkId) -> Result<u64, IndexError> {
        Ok(self.get(&keys::open_reports(link))?.as_deref().map_or(0, number))
    }

    /// The first envelope with an idempotency key, while the key is kept.
    fn idempotent(
        &self,
        workspace: WorkspaceId,
        key: &str,
    ) -> Result<Option<Envelope>, IndexError> {
        let value = self.get(&keys::idempotency(workspace, key))?;
        let decode = |bytes: Vec<u8>| Envelope::decode(bytes.get(8..).unwrap_or_default());
        value.map(decode).transpose().map_err(|error| self.report_damage(error.into()))
    }
}

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Short scans, over one consistent view of the index.
pub trait ReadRanges: Read {
    /// The rows whose keys start with a prefix, in order.
    fn rows(&self, prefix: &[u8]) -> Result<Vec<Row>, IndexError>;

    /// A workspace's tokens, oldest first.
    fn tokens(&self, workspace: WorkspaceId) -> Result<Vec<Token>, IndexError> {
        let secrets = self.rows(&keys::tokens_of(workspace))?.into_iter();
        let tokens = secrets.map(|(_, secret_sha256)| self.token_by_secret(&secret_sha256));
        tokens.filter_map(Result::transpose).collect()
    }
}
