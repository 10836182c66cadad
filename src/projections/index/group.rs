//! Groups, by which links are found without a scan of all of them.
//!
//! A link is in a group for each of its tags, its folder, its campaign, and its domain unless that
//! is the default one; archived links are in a group of their own. The index stores the members of
//! each group in order of creation, and their number. A link without any of these is in no group
//! and costs nothing here.

use crate::domain::ids::CampaignId;
use crate::domain::link::{Labels, folded};

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
    pub(super) fn spelling(&self) -> &str {
        match self {
            Self::Tag(name) | Self::Folder(name) => name,
            Self::Campaign(_) | Self::Domain(_) | Self::Archived => "",
        }
    }

    /// The groups of a link.
    pub(super) fn of(
        domain: &str,
        labels: &Labels,
        is_archived: bool,
    ) -> impl Iterator<Item = Self> {
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
