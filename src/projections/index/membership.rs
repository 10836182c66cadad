//! The members of [groups](Group): folding.

use super::encoding::counted;
use super::group::Group;
use super::state::State;
use super::{IndexError, keys};
use crate::domain::event::LinkState;
use crate::domain::ids::{LinkId, WorkspaceId};
use crate::domain::link::{Labels, Link};

/// Adds a link to its groups.
pub(super) fn join<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    id: LinkId,
    link: &LinkState,
) -> Result<(), IndexError> {
    let none = Labels::default();
    let labels = link.labels.as_ref().unwrap_or(&none);
    let is_archived = link.gates.as_ref().is_some_and(|gates| gates.archived);
    for group in Group::of(&link.domain, labels, is_archived) {
        state.put(keys::member(workspace, &group, id), Vec::new());
        count(state, workspace, &group, 1)?;
    }
    if let Some(external_id) = &labels.external_id {
        state.put(keys::external(workspace, external_id), id.as_bytes().to_vec());
    }
    Ok(())
}

/// Removes a link from its groups.
pub(super) fn leave<S: State>(state: &mut S, link: &Link) -> Result<(), IndexError> {
    let (workspace, fields) = (link.workspace, &link.fields);
    for group in Group::of(&fields.domain, &fields.labels, fields.gates.archived) {
        state.remove(keys::member(workspace, &group, link.id));
        count(state, workspace, &group, -1)?;
    }
    if let Some(external_id) = &fields.labels.external_id {
        state.remove(keys::external(workspace, external_id));
    }
    Ok(())
}

/// Changes a group's count. An empty group is removed with its spelling.
fn count<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    group: &Group,
    change: i64,
) -> Result<(), IndexError> {
    let key = keys::group(workspace, group);
    let before = state.get(&key)?;
    let (count, spelling) = match before.as_deref().and_then(counted) {
        Some((count, spelling)) => (count, spelling),
        None => (0, group.spelling()),
    };
    match count.saturating_add_signed(change) {
        0 => state.remove(key),
        count => {
            let value = [count.to_be_bytes().as_slice(), spelling.as_bytes()].concat();
            state.put(key, value);
        }
    }
    Ok(())
}
