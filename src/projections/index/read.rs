//! Reads of the index, the same for the applied and the pending state.

use prost::Message;
use uuid::Uuid;

use super::domains::ReadDomains;
use super::group::{self, Group};
use super::{IndexError, keys, reports};
use crate::domain::command::LinkRef;
use crate::domain::event::{Envelope, LinkState, PresetState, TokenState};
use crate::domain::ids::{LinkId, ReportId, TokenId, WorkspaceId};
use crate::domain::link::Link;
use crate::domain::preset::{Preset, PresetId, PresetKind};
use crate::domain::report::Report;
use crate::domain::token::Token;

const ID_BYTES: usize = 16;

/// A deleted link that can be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// The link before its deletion; its version is the one of the deletion.
    pub link: Link,
    /// The deadline for restoring it, in milliseconds since the Unix epoch.
    pub restorable_until_ms: u64,
    /// In milliseconds since the Unix epoch.
    pub deleted_at_ms: u64,
    /// The offset of the deletion in the log.
    pub offset: u64,
}

impl Tombstone {
    pub(super) fn encode(&self) -> Vec<u8> {
        let numbers = [self.restorable_until_ms, self.deleted_at_ms, self.offset];
        let mut value: Vec<_> = numbers.into_iter().flat_map(u64::to_be_bytes).collect();
        value.extend(encode_link(self.link.workspace, &LinkState::from(&self.link)));
        value
    }

    pub(super) fn decode(value: &[u8]) -> Result<Self, IndexError> {
        let (numbers, link) = value.split_at_checked(24).ok_or(BROKEN_ID)?;
        let (until, numbers) = numbers.split_at(8);
        let (deleted_at, offset) = numbers.split_at(8);
        let [restorable_until_ms, deleted_at_ms, offset] = [until, deleted_at, offset].map(number);
        Ok(Self { link: decode_link(link)?, restorable_until_ms, deleted_at_ms, offset })
    }
}

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

    /// The link at a slug of a domain (empty: the default domain). Normalizes the slug as the
    /// domain requires.
    fn slug(&self, domain: &str, slug: &str) -> Result<Option<LinkId>, IndexError> {
        self.slug_at(domain, &self.slug_form(domain, slug)?)
    }

    /// As [`slug`](Self::slug), with a normalized slug.
    fn slug_at(&self, domain: &str, form: &str) -> Result<Option<LinkId>, IndexError> {
        let id = self.get(&keys::slug(domain, form))?;
        let id = id.map(|bytes| LinkId::from_bytes(&bytes).map_err(|_| BROKEN_ID)).transpose();
        id.map_err(|error| self.report_damage(error))
    }

    /// A link by its ID, slug or external ID, if it belongs to this workspace.
    fn link_in(&self, workspace: WorkspaceId, named: &LinkRef) -> Result<Option<Link>, IndexError> {
        let id = match named {
            LinkRef::Id(id) => Some(*id),
            LinkRef::Slug(slug) => self.slug("", slug.as_str())?,
            LinkRef::ExternalId(external_id) => self.external(workspace, external_id)?,
        };
        let link = id.map(|id| self.link(id)).transpose()?.flatten();
        Ok(link.filter(|link| link.workspace == workspace))
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
        Ok(value.as_deref().and_then(group::counted).map_or(0, |(count, _)| count))
    }

    /// A campaign or a UTM template of a workspace.
    fn preset(&self, workspace: WorkspaceId, id: PresetId) -> Result<Option<Preset>, IndexError> {
        let value = self.get(&keys::preset(workspace, id))?;
        let preset = value.map(|value| decode_preset(workspace, id.kind(), &value)).transpose();
        preset.map_err(|error| self.report_damage(error))
    }

    /// The campaign or UTM template of a workspace with this name, ignoring case.
    fn preset_named(
        &self,
        workspace: WorkspaceId,
        kind: PresetKind,
        name: &str,
    ) -> Result<Option<PresetId>, IndexError> {
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
        let report = value.map(|value| reports::decode(workspace, &value)).transpose();
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

/// Scans of tokens, over one consistent view of the index.
pub trait ReadTokens: Read {
    /// A workspace's tokens, oldest first.
    fn tokens(&self, workspace: WorkspaceId) -> Result<Vec<Token>, IndexError>;
}

const BROKEN_ID: IndexError = IndexError::Broken("an id in the index is not 16 bytes long");

/// Decodes a count or an offset.
pub fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}

pub fn encode_link(workspace: WorkspaceId, state: &LinkState) -> Vec<u8> {
    with_workspace(workspace, state)
}

pub fn with_workspace(workspace: WorkspaceId, message: &impl Message) -> Vec<u8> {
    let mut value = Vec::with_capacity(ID_BYTES + message.encoded_len());
    value.extend_from_slice(workspace.as_bytes());
    // Writing to a vector cannot fail.
    let _fits = message.encode(&mut value);
    value
}

pub fn decode_link(value: &[u8]) -> Result<Link, IndexError> {
    let (workspace, state) = split_workspace(value)?;
    Ok(LinkState::decode(state)?.into_link(workspace)?)
}

pub fn encode_preset(preset: &PresetState) -> Vec<u8> {
    preset.encode_to_vec()
}

pub fn decode_preset(
    workspace: WorkspaceId,
    kind: PresetKind,
    value: &[u8],
) -> Result<Preset, IndexError> {
    Ok(PresetState::decode(value)?.into_preset(kind, workspace)?)
}

pub fn encode_token(token: &Token) -> Vec<u8> {
    with_workspace(token.workspace, &TokenState::from(token))
}

fn decode_token(value: &[u8]) -> Result<Token, IndexError> {
    let (workspace, state) = split_workspace(value)?;
    Ok(TokenState::decode(state)?.into_token(workspace)?)
}

pub fn split_workspace(value: &[u8]) -> Result<(WorkspaceId, &[u8]), IndexError> {
    let (workspace, state) = value.split_at_checked(ID_BYTES).ok_or(BROKEN_ID)?;
    Ok((WorkspaceId::from_bytes(workspace).map_err(|_| BROKEN_ID)?, state))
}
