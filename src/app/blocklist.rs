//! The file of the list to which no link may lead.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use arc_swap::ArcSwap;

use crate::domain::blocklist::Blocklist;

/// A list that can be read again while the service runs.
pub struct BlocklistFile {
    path: Option<PathBuf>,
    list: Arc<ArcSwap<Blocklist>>,
}

impl BlocklistFile {
    /// Reads the file; without one the list is empty.
    pub fn open(path: Option<PathBuf>) -> anyhow::Result<Self> {
        let file = Self { path, list: Arc::default() };
        file.reload()?;
        Ok(file)
    }

    /// The list as it is at any time.
    pub fn list(&self) -> Arc<ArcSwap<Blocklist>> {
        Arc::clone(&self.list)
    }

    /// Reads the file again. After an error the list stays as it was.
    pub fn reload(&self) -> anyhow::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let shown = || path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(shown)?;
        let list = Blocklist::parse(&text).with_context(shown)?;
        tracing::info!(entries = list.len(), "the list of addresses to which no link may lead");
        self.list.store(Arc::new(list));
        Ok(())
    }
}
