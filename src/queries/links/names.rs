//! What links are grouped by: tags, folders, campaigns and UTM templates, each with its number of
//! links.

use super::Links;
use crate::domain::error::Result;
use crate::domain::ids::WorkspaceId;
use crate::domain::preset::{UtmPreset, UtmPresetId, UtmPresetKind};
use crate::projections::index::{Group, Named, Read};

/// The kind of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamesOf {
    /// Tags.
    Tags,
    /// Folders.
    Folders,
}

/// A page of names, in order.
#[derive(Debug)]
pub struct Names {
    /// The names, each with its number of links.
    pub names: Vec<Named>,
    /// The total number of names.
    pub total: u64,
}

/// A campaign or a UTM template, and its number of links.
#[derive(Debug)]
pub struct UtmPresetCount {
    /// The campaign or template.
    pub preset: UtmPreset,
    /// Always 0 for a template.
    pub links: u64,
}

impl Links {
    /// A page of a workspace's tags or folders, by name.
    ///
    /// # Errors
    /// `Overloaded` if too many searches are running.
    pub async fn names(
        &self,
        workspace: WorkspaceId,
        of: NamesOf,
        page: usize,
        limit: usize,
    ) -> Result<Names> {
        let part = part(page, limit);
        self.with_permit(workspace, move |scan, _| {
            let group = match of {
                NamesOf::Tags => Group::Tag(String::new()),
                NamesOf::Folders => Group::Folder(String::new()),
            };
            let mut found = Names { names: Vec::new(), total: 0 };
            for (place, named) in scan.names(workspace, &group).enumerate() {
                let named = named?;
                found.total += 1;
                if part.contains(&place) {
                    found.names.push(named);
                }
            }
            Ok(found)
        })
        .await
    }

    /// A page of a workspace's campaigns or UTM templates, newest first, and their total number.
    ///
    /// # Errors
    /// `Overloaded` if too many searches are running.
    pub async fn presets(
        &self,
        workspace: WorkspaceId,
        kind: UtmPresetKind,
        page: usize,
        limit: usize,
    ) -> Result<(Vec<UtmPresetCount>, u64)> {
        let part = part(page, limit);
        self.with_permit(workspace, move |scan, _| {
            let (presets, total) = scan.presets(workspace, kind, part)?;
            let counted = presets.into_iter().map(|preset| counted(scan, preset));
            Ok((counted.collect::<Result<_, _>>()?, total))
        })
        .await
    }

    /// A campaign or a UTM template of a workspace.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn preset(
        &self,
        workspace: WorkspaceId,
        id: UtmPresetId,
    ) -> Result<Option<UtmPresetCount>> {
        let preset = self.index.preset(workspace, id)?;
        preset.map(|preset| self.counted(preset)).transpose()
    }

    /// A campaign or a UTM template with its count.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn counted(&self, preset: UtmPreset) -> Result<UtmPresetCount> {
        counted(&*self.index, preset)
    }
}

fn counted(index: &impl Read, preset: UtmPreset) -> Result<UtmPresetCount> {
    let links = match preset.id {
        UtmPresetId::Campaign(id) => index.group_count(preset.workspace, &Group::Campaign(id))?,
        UtmPresetId::Template(_) => 0,
    };
    Ok(UtmPresetCount { preset, links })
}

fn part(page: usize, limit: usize) -> std::ops::Range<usize> {
    let from = page.saturating_sub(1).saturating_mul(limit);
    from..from.saturating_add(limit)
}
