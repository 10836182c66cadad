//! The index: the mutation log folded, in two layers on disk, and the memory before them.
//!
//! ```text
//! redirects in memory  →  front: what was  →  overlay (sled): what  →  base: one sorted file
//!                         applied just now    has changed since
//! ```
//!
//! - The **base** is the index at an offset: an immutable `table`. The **overlay** holds what
//!   has changed since, and stays small: once the log has gone on far enough, the [`Compactor`]
//!   makes a new base of the old one and of the log's rest while the service runs, and begins a
//!   fresh overlay over it. The **front** holds in memory what the keeper has not brought into the
//!   overlay yet. A start opens the two on disk and folds what the log has beyond.
//! - **What is promised.** The applied offset changes in the same batch as what the events up to
//!   it changed, so the index is always exactly the fold of a prefix of the log, to the same
//!   [digest](Index::digest), however it came to be. It never says what the log has not made
//!   durable: only synced events are applied.
//! - **What heals by itself.** Whatever is wrong with the files (absent, unreadable, cut, changed,
//!   another log's, another layout's) is found where they are opened or read, never answered
//!   from, and made good from the log: at the start, or while the service runs, where readers go
//!   on with what they have until the new layers take over. So does a store that has failed for
//!   good, as sled does when it meets a full disk: see [`Index::repair`].
//! - **What does not:** an index *ahead* of its log. Then the log has lost events that were durable,
//!   and [`IndexError::AheadOfLog`] says so instead of forgetting them silently.
//! - **Layers may be swapped at any time** for others at the same offset, since both follow from
//!   the log alone. So a group that was decided over the old ones may be committed to the new
//!   ones: [`Index::commit`] checks the offset, under the lock that a swap takes too.

mod audited;
mod build;
mod cache;
mod compactor;
mod domains;
mod error;
mod fold;
mod group;
mod hosts;
mod index_dir;
mod keys;
mod layers;
mod memory;
mod merged;
mod meta;
mod pending;
mod presets;
mod read;
mod rebuilder;
mod redirect;
mod reports;
mod scan;
mod store;
mod versions;
mod write_buffer;

#[cfg(test)]
pub mod faults;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

pub use crate::sst::Filter;
pub use audited::Audited;
pub use compactor::Compactor;
pub use domains::ReadDomains;
pub use error::IndexError;
pub use group::Group;
pub use hosts::{HostSettings, Hosts};
pub use pending::Pending;
pub use read::{Read, ReadTokens, Tombstone};
pub use rebuilder::Rebuilder;
pub use redirect::{App, Apps, CompiledRouting, LinkFeatures, Redirect, Way};
pub use scan::{Encoded, Ids, Named, Scan, Span};
pub use versions::Version;

use crate::domain::ids::WorkspaceId;
use crate::domain::token::Token;
use crate::log::Log;
use index_dir::{IndexDir, KeepGoing};
use layers::{Base, Damage, Layers};

/// How the index is kept; tests and measurements choose other numbers.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// A start makes a new base rather than fold more events than this into an overlay.
    pub start_events_min: u64,
    /// A new base is made while serving once the overlay is this many events beyond the old one.
    pub live_events_min: u64,
    /// Both of these grow with the base, whose making anew has to be worth it: up to this.
    pub events_max: u64,
    /// How much of a build is folded before it is sorted and written, in bytes.
    pub memtable_bytes: usize,
    /// A commit that finds more keys than this waiting in memory brings them into the overlay
    /// itself, and so waits for the store.
    pub unsettled_max: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            start_events_min: 10_000,
            live_events_min: 50_000,
            events_max: 500_000,
            memtable_bytes: 64 << 20,
            unsettled_max: 32_768,
        }
    }
}

/// An event folded into the overlay takes about as long as so many entries of a base that is
/// made anew.
const ENTRIES_PER_EVENT: u64 = 100;

impl Tuning {
    /// Whether so many events are too many for an overlay over a base of so many entries.
    fn is_base_due(&self, events: u64, events_min: u64, entries: u64) -> bool {
        events > (entries / ENTRIES_PER_EVENT).clamp(events_min, self.events_max.max(events_min))
    }
}

/// How long readers wait for layers that take the place of failed ones.
const SUCCESSOR_WAIT: Duration = Duration::from_millis(500);

/// The base below the index, for those who watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseStatus {
    /// The offset that it reflects.
    pub offset: u64,
    /// How many entries it has.
    pub entries: u64,
    /// When it was made, in milliseconds since the Unix epoch.
    pub made_at_ms: u64,
}

/// The index. Many read it; the dispatcher alone decides over it and commits.
pub struct Index {
    home: IndexDir,
    layers: ArcSwap<Layers>,
    redirects: cache::Redirects,
    hosts: ArcSwap<Hosts>,
    /// Held while the layers change: by a commit, and by a swap.
    writer: Mutex<()>,
    /// Held by a repair, so that two that met the same failure do it once.
    repair: Mutex<()>,
    /// Layers that were swapped out, until their last reader is gone.
    retired: Mutex<Vec<Arc<Layers>>>,
}

impl Read for Index {
    /// A store that has given up is about to be replaced: for that a reader waits a moment.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let layers = self.layers.load();
        match layers.get(key) {
            Err(IndexError::Store(error)) => match self.successor(&layers) {
                Some(layers) => layers.get(key),
                None => Err(error.into()),
            },
            got => got,
        }
    }

    fn met(&self, error: IndexError) -> IndexError {
        self.layers.load().met(error)
    }
}

impl ReadTokens for Index {
    fn tokens(&self, workspace: WorkspaceId) -> Result<Vec<Token>, IndexError> {
        let layers = self.layers.load();
        let rows = layers.rows(store::prefixed(&keys::tokens_of(workspace)), false);
        let tokens = rows.map(|row| self.token_by_secret(&row?.1));
        tokens.filter_map(Result::transpose).collect()
    }
}

impl Index {
    /// Opens the index in `folder` and brings it up to the end of `log`.
    ///
    /// # Errors
    /// [`IndexError::AheadOfLog`] where the log has lost something; else where the folder can't
    /// be written or the log can't be read. Nothing that lies in the folder makes it fail.
    pub fn open(folder: &Path, log: &Log) -> Result<Self, IndexError> {
        Self::open_while(IndexDir::new(folder), log, &|_, _| true)
    }

    /// As [`open`](Self::open), kept in another way than the usual.
    pub fn open_tuned(folder: &Path, log: &Log, tuning: Tuning) -> Result<Self, IndexError> {
        let home = IndexDir::with_stores(folder, Box::new(store::SledStores), tuning);
        Self::open_while(home, log, &|_, _| true)
    }

    fn open_while(home: IndexDir, log: &Log, goes_on: KeepGoing<'_>) -> Result<Self, IndexError> {
        let layers = home.open(log, goes_on)?;
        Ok(Self::over(home, layers))
    }

    fn over(home: IndexDir, layers: Arc<Layers>) -> Self {
        let index = Self {
            home,
            layers: ArcSwap::new(layers),
            redirects: cache::Redirects::new(),
            hosts: ArcSwap::default(),
            writer: Mutex::new(()),
            repair: Mutex::new(()),
            retired: Mutex::new(Vec::new()),
        };
        index.renew_hosts(&index.layers.load());
        index
    }

    /// Makes the index in `folder` anew from the log as it is, whatever lies there, and opens it:
    /// for use without a service. `progress` hears how much of how much is done. What lay there
    /// goes once the new index is whole.
    pub fn rebuild_folder(
        folder: &Path,
        log: &Log,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Self, IndexError> {
        let home = IndexDir::new(folder);
        let layers = home.rebuild(log, &|done, total| {
            progress(done, total);
            true
        })?;
        Ok(Self::over(home, layers))
    }

    /// The layers that take the place of failed ones, if they come soon. All readers together wait
    /// no longer than that for the same ones: then they are told the error at once.
    fn successor(&self, failed: &Arc<Layers>) -> Option<Arc<Layers>> {
        loop {
            let layers = self.layers.load_full();
            if !Arc::ptr_eq(&layers, failed) {
                return Some(layers);
            }
            if failed.failed_at()?.elapsed() >= SUCCESSOR_WAIT {
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether the overlay's store takes no more and may refuse to be read:
    /// [`repair`](Self::repair) helps.
    pub fn has_given_up(&self) -> bool {
        self.layers.load().damage() == Damage::Overlay
    }

    /// Starts to gather events over what is applied.
    pub fn begin(&self) -> Pending {
        Pending::new(self.layers.load_full())
    }

    /// Commits what was gathered, up to and with the event at `offset`, which the log has synced.
    /// Readers see all of it or nothing.
    ///
    /// # Errors
    /// Where the store has failed, and memory may not hold more for it; [`repair`](Self::repair)
    /// then brings the index to where this would have.
    pub fn commit(&self, pending: Pending, offset: u64) -> Result<(), IndexError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let layers = self.layers.load();
        // A repair that came in between may have taken the events from the log already.
        if offset > layers.applied() {
            if pending.over() != layers.applied() {
                return Err(IndexError::Broken("a group was decided over another offset"));
            }
            if layers.unsettled() > self.home.tuning.unsettled_max {
                layers.settle()?;
            }
            layers.apply(pending.changes, offset);
            if pending.domains_touched {
                self.renew_hosts(&layers);
            }
        }
        self.redirects.forget(&pending.touched);
        Ok(())
    }

    /// Puts a fresh overlay in the place of one that has failed, over the same base, and brings it
    /// up to what the log has synced. Readers go on meanwhile. Where the disk has no room for it,
    /// it is held in memory until the keeper finds some.
    ///
    /// # Errors
    /// Where that fails too: then all stays as it is, and it may be tried again.
    pub fn repair(&self, log: &Log) -> Result<(), IndexError> {
        let failed = self.layers.load_full();
        let _repair = self.repair.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&failed, &self.layers.load()) {
            return self.catch_up(log);
        }
        let base = failed.base().cloned().filter(|_| failed.damage() != Damage::Unknown);
        drop(failed);
        match self.replace_overlay(log, base.clone()) {
            Err(error) if error.is_full() => self.take_over(self.home.stopgap(log, base)?, log),
            replaced => replaced,
        }
    }

    /// Begins a fresh overlay on the disk, or a new base if one is due.
    fn replace_overlay(&self, log: &Log, base: Option<Arc<Base>>) -> Result<(), IndexError> {
        let layers = self.home.begin(log, base, &|_, _| true)?;
        self.take_over(layers, log)
    }

    /// Makes the index anew from the log alone, and takes it over when it is whole; readers and the
    /// writer go on meanwhile. `progress` hears how much of how much is done.
    pub fn rebuild(
        &self,
        log: &Log,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<(), IndexError> {
        self.rebuild_while(log, &|done, total| {
            progress(done, total);
            true
        })
    }

    fn rebuild_while(&self, log: &Log, goes_on: KeepGoing<'_>) -> Result<(), IndexError> {
        let base = self.home.make_base(log, log.synced(), None, goes_on)?;
        let layers = self.home.begin_overlay(log, Some(base))?;
        self.take_over(layers, log)
    }

    /// Makes a new base of the one there is and what the log has beyond, and a fresh overlay.
    fn renew(&self, log: &Log, goes_on: KeepGoing<'_>) -> Result<(), IndexError> {
        let before = self.layers.load().base().cloned();
        let from = before.as_ref().map(|base| &base.table);
        let base = self.home.make_base(log, log.synced(), from, goes_on)?;
        drop(before);
        let layers = self.home.begin_overlay(log, Some(base))?;
        self.take_over(layers, log)
    }

    /// Brings what was applied into the overlay, unless that is known to fail. What fails is noted,
    /// and so repaired.
    fn settle(&self) {
        let layers = self.layers.load();
        if layers.damage() == Damage::None {
            let _noted = layers.settle();
        }
    }

    /// Whether the overlay has grown so far that a new base is due.
    fn is_base_due(&self) -> bool {
        let layers = self.layers.load();
        let tuning = &self.home.tuning;
        let (offset, entries) = layers.base_extent();
        tuning.is_base_due(layers.applied() - offset, tuning.live_events_min, entries)
    }

    /// Leads readers and the writer to other layers.
    fn take_over(&self, layers: Layers, log: &Log) -> Result<(), IndexError> {
        let layers = Arc::new(layers);
        // Most of the way without the writer having to wait.
        let caught_up = index_dir::catch_up(&layers, log, log.synced()).and_then(|()| {
            let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            // What is applied is synced, so this is at least as far as the old ones.
            index_dir::catch_up(&layers, log, log.synced())?;
            let before = self.layers.swap(Arc::clone(&layers));
            self.renew_hosts(&layers);
            if before.applied() != layers.applied() {
                self.redirects.forget_all();
            }
            self.retired.lock().unwrap_or_else(PoisonError::into_inner).push(before);
            Ok(())
        });
        if caught_up.is_err() {
            Arc::into_inner(layers).into_iter().for_each(index_dir::retire);
        }
        self.sweep();
        caught_up
    }

    fn catch_up(&self, log: &Log) -> Result<(), IndexError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let layers = self.layers.load_full();
        let before = layers.applied();
        index_dir::catch_up(&layers, log, log.synced())?;
        if layers.applied() != before {
            self.renew_hosts(&layers);
            self.redirects.forget_all();
        }
        Ok(())
    }

    /// Takes away what was swapped out and is read no more.
    fn sweep(&self) {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = std::mem::take(&mut *retired);
        for layers in waiting {
            // Nobody can come by another reference to them: they are led to no more.
            match Arc::try_unwrap(layers) {
                Ok(layers) => index_dir::retire(layers),
                Err(layers) => retired.push(layers),
            }
        }
    }

    /// The offset of the last event that the index reflects; 0 before the first.
    pub fn applied(&self) -> u64 {
        self.layers.load().applied()
    }

    /// The base below the index; none while the log is short.
    pub fn base(&self) -> Option<BaseStatus> {
        let layers = self.layers.load();
        layers.base().map(|base| BaseStatus {
            offset: base.table.origin().offset,
            entries: base.table.entries(),
            made_at_ms: base.table.made_at_ms(),
        })
    }

    /// What a redirect needs of the link at a slug: from memory, else from the store. The slug in
    /// lower case where the domain makes no difference: so memory holds it under one key.
    pub fn redirect(&self, domain: &str, slug: &str) -> Result<Option<Arc<Redirect>>, IndexError> {
        self.redirects.get_or_load(&cache::key(domain, slug), || {
            self.slug_at(domain, slug)?.map(|id| self.link(id)).transpose().map(Option::flatten)
        })
    }

    /// The workspaces and their names, oldest first.
    pub fn workspaces(&self) -> Result<Vec<(WorkspaceId, String)>, IndexError> {
        let layers = self.layers.load();
        let rows = layers.rows(store::prefixed(keys::WORKSPACES), false);
        rows.map(|row| {
            let (key, name) = row?;
            let id = WorkspaceId::from_bytes(key.get(1..).unwrap_or_default());
            let id = id.map_err(|_| IndexError::Broken("a workspace's key"))?;
            Ok((id, String::from_utf8_lossy(&name).into_owned()))
        })
        .collect()
    }

    /// SHA-256 over all that the index says, key by key: equal for equal logs, however the index
    /// came to be.
    pub fn digest(&self) -> Result<[u8; 32], IndexError> {
        let mut digest = Sha256::new();
        for row in self.layers.load().rows(store::prefixed(&[]), false) {
            let (key, value) = row?;
            for part in [&key, &value] {
                digest.update((part.len() as u64).to_be_bytes());
                digest.update(part);
            }
        }
        Ok(digest.finalize().into())
    }

    /// Waits until what was applied is on disk, so that the next start has nothing to redo.
    pub fn flush(&self) -> Result<(), IndexError> {
        self.layers.load().flush()
    }
}
