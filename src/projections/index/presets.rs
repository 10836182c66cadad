//! Campaigns and UTM templates in the index.

use uuid::Uuid;

use super::encoding::encode_preset;
use super::state::State;
use super::{IndexError, keys};
use crate::domain::error::Unreadable;
use crate::domain::event::{Event, UtmPresetDeleted, UtmPresetState};
use crate::domain::ids::WorkspaceId;
use crate::domain::preset::{UtmPresetId, UtmPresetKind};

fn id(kind: UtmPresetKind, bytes: &[u8]) -> Result<UtmPresetId, Unreadable> {
    Ok(kind.id(Uuid::from_slice(bytes).map_err(|_| Unreadable(kind.noun()))?))
}

/// Folds an event of a campaign or a UTM template.
pub fn fold<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    event: &Event,
) -> Result<(), IndexError> {
    use UtmPresetKind::{Campaign, Template};
    match event {
        Event::CampaignCreated(preset) | Event::CampaignChanged(preset) => {
            insert(state, workspace, Campaign, preset)
        }
        Event::UtmTemplateCreated(preset) | Event::UtmTemplateChanged(preset) => {
            insert(state, workspace, Template, preset)
        }
        Event::CampaignDeleted(deleted) => remove(state, workspace, Campaign, deleted),
        Event::UtmTemplateDeleted(deleted) => remove(state, workspace, Template, deleted),
        _ => Err(IndexError::Broken("an event that is not of a preset")),
    }
}

/// Inserts or updates a preset.
fn insert<S: State>(
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
fn remove<S: State>(
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
