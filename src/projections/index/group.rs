//! Groups, by which links are found without a scan of all of them.
//!
//! A link is in a group for each of its tags, its folder, its campaign, and its domain unless that
//! is the default one; archived links are in a group of their own. The index stores the members of
//! each group in order of creation, and their number. A link without any of these is in no group
//! and costs nothing here.

use super::fold::State;
use super::read::number;
use super::{IndexError, keys};
use crate::domain::event::LinkState;
use crate::domain::ids::{CampaignId, LinkId, WorkspaceId};
use crate::domain::link::{Labels, Link, folded};

/// A group of a workspace's links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// Links with a tag, ignoring case.
    Tag(String),
    /// Links directly in a folder.
    Folder(String),
    /// Links of a campaign.
    Campaign(CampaignId),
    /// Links on a domain other than the default one.
    Domain(String),
    /// Archived links.
    Archived,
}

impl Group {
    /// The group's part of its keys. Names contain no NUL byte and campaign IDs have a fixed
    /// length, so keys of different groups cannot collide.
    pub(super) fn key(&self) -> Vec<u8> {
        let (letter, name) = match self {
            Self::Tag(tag) => (b't', folded(tag).into_bytes()),
            Self::Folder(folder) => (b'f', folder.clone().into_bytes()),
            Self::Campaign(id) => (b'c', id.as_bytes().to_vec()),
            Self::Domain(domain) => (b'h', domain.clone().into_bytes()),
            Self::Archived => (b'z', Vec::new()),
        };
        [vec![letter], name].concat()
    }

    /// The spelling of its name, if names of this kind are listed.
    fn spelling(&self) -> &str {
        match self {
            Self::Tag(name) | Self::Folder(name) => name,
            Self::Campaign(_) | Self::Domain(_) | Self::Archived => "",
        }
    }

    /// The groups of a link.
    fn of(domain: &str, labels: &Labels, is_archived: bool) -> impl Iterator<Item = Self> {
        let tags = labels.tags.iter().cloned().map(Self::Tag);
        let folder = labels.folder.clone().map(Self::Folder);
        let campaign = labels.campaign().map(Self::Campaign);
        let domain = (!domain.is_empty()).then(|| Self::Domain(domain.to_owned()));
        tags.chain(folder)
            .chain(campaign)
            .chain(domain)
            .chain(is_archived.then_some(Self::Archived))
    }
}

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

/// Decodes a group's value: the number of links, and the spelling of its name.
pub(super) fn counted(value: &[u8]) -> Option<(u64, &str)> {
    let (count, spelling) = value.split_at_checked(8)?;
    Some((number(count), std::str::from_utf8(spelling).ok()?))
}
