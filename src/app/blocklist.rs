//! The blocklist file: hosts and patterns that links must not have as a destination.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use arc_swap::ArcSwap;

use crate::domain::blocklist::Blocklist;

/// A blocklist that can be reloaded.
pub struct BlocklistFile {
    path: Option<PathBuf>,
    list: Arc<ArcSwap<Blocklist>>,
}

impl BlocklistFile {
    /// Reads the file; without one, the list is empty.
    pub fn open(path: Option<PathBuf>) -> anyhow::Result<Self> {
        let file = Self { path, list: Arc::default() };
        file.reload()?;
        Ok(file)
    }

    /// The current list, which a reload replaces.
    pub fn list(&self) -> Arc<ArcSwap<Blocklist>> {
        Arc::clone(&self.list)
    }

    /// Reloads the file. On error, the previous list is kept.
    pub fn reload(&self) -> anyhow::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let shown = || format!("--blocklist {}", path.display());
        let text = std::fs::read_to_string(path).with_context(shown)?;
        let list = Blocklist::parse(&text).with_context(shown)?;
        tracing::info!(entries = list.len(), "loaded the blocklist");
        self.list.store(Arc::new(list));
        Ok(())
    }
}
