//! The values of the index as bytes.

use prost::Message;

use super::IndexError;
use crate::domain::event::{LinkState, TokenState, UtmPresetState};
use crate::domain::ids::WorkspaceId;
use crate::domain::link::Link;
use crate::domain::preset::{UtmPreset, UtmPresetKind};
use crate::domain::report::{LinkReported, Report};
use crate::domain::token::Token;

const ID_BYTES: usize = 16;
const TIME_BYTES: usize = 8;

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

pub(super) const BROKEN_ID: IndexError =
    IndexError::Broken("an id in the index is not 16 bytes long");

/// Decodes a count or an offset.
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}

pub(super) fn encode_link(workspace: WorkspaceId, state: &LinkState) -> Vec<u8> {
    with_workspace(workspace, state)
}

pub(super) fn with_workspace(workspace: WorkspaceId, message: &impl Message) -> Vec<u8> {
    let mut value = Vec::with_capacity(ID_BYTES + message.encoded_len());
    value.extend_from_slice(workspace.as_bytes());
    // Writing to a vector cannot fail.
    let _fits = message.encode(&mut value);
    value
}

pub(super) fn decode_link(value: &[u8]) -> Result<Link, IndexError> {
    let (workspace, state) = split_workspace(value)?;
    Ok(LinkState::decode(state)?.into_link(workspace)?)
}

pub(super) fn encode_preset(preset: &UtmPresetState) -> Vec<u8> {
    preset.encode_to_vec()
}

pub(super) fn decode_preset(
    workspace: WorkspaceId,
    kind: UtmPresetKind,
    value: &[u8],
) -> Result<UtmPreset, IndexError> {
    Ok(UtmPresetState::decode(value)?.into_preset(kind, workspace)?)
}

pub(super) fn encode_token(token: &Token) -> Vec<u8> {
    with_workspace(token.workspace, &TokenState::from(token))
}

pub(super) fn decode_token(value: &[u8]) -> Result<Token, IndexError> {
    let (workspace, state) = split_workspace(value)?;
    Ok(TokenState::decode(state)?.into_token(workspace)?)
}

pub(super) fn split_workspace(value: &[u8]) -> Result<(WorkspaceId, &[u8]), IndexError> {
    let (workspace, state) = value.split_at_checked(ID_BYTES).ok_or(BROKEN_ID)?;
    Ok((WorkspaceId::from_bytes(workspace).map_err(|_| BROKEN_ID)?, state))
}

/// Decodes a report.
pub(super) fn decode_report(workspace: WorkspaceId, value: &[u8]) -> Result<Report, IndexError> {
    let broken = IndexError::Broken("a report");
    let Some((at, message)) = value.split_at_checked(TIME_BYTES) else { return Err(broken) };
    LinkReported::decode(message)?.into_report(workspace, number(at)).ok_or(broken)
}

/// Decodes a group's value: the number of links, and the spelling of its name.
pub(super) fn counted(value: &[u8]) -> Option<(u64, &str)> {
    let (count, spelling) = value.split_at_checked(8)?;
    Some((number(count), std::str::from_utf8(spelling).ok()?))
}
