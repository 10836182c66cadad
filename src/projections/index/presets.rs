//! Campaigns and UTM templates in the index.

use uuid::Uuid;

use super::encoding::encode_preset;
use super::state::State;
use super::{IndexError, keys};
use crate::domain::error::Unreadable;
use crate::domain::event::{UtmPresetDeleted, UtmPresetState};
use crate::domain::ids::WorkspaceId;
use crate::domain::preset::{UtmPresetId, UtmPresetKind};

fn id(kind: UtmPresetKind, bytes: &[u8]) -> Result<UtmPresetId, Unreadable> {
    Ok(kind.id(Uuid::from_slice(bytes).map_err(|_| Unreadable(kind.noun()))?))
}

/// Inserts or updates a preset.
pub fn insert<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    kind: UtmPresetKind,
    preset: &UtmPresetState,
) -> Result<(), IndexError> {
    let id = id(kind, &preset.id)?;
    if let Some(before) = state.preset(workspace, id)? {
        state.remove(keys::preset_named(workspace, kind, &before.name));
    }
    let name = keys::preset_named(workspace, kind, &preset.name);
    state.put(name, id.uuid().as_bytes().to_vec());
    state.put(keys::preset(workspace, id), encode_preset(preset));
    Ok(())
}

/// Removes a preset.
pub fn remove<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    kind: UtmPresetKind,
    deleted: &UtmPresetDeleted,
) -> Result<(), IndexError> {
    let id = id(kind, &deleted.id)?;
    if let Some(before) = state.preset(workspace, id)? {
        state.remove(keys::preset_named(workspace, kind, &before.name));
        state.remove(keys::preset(workspace, id));
    }
    Ok(())
}
