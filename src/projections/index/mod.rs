//! The index: the mutation log folded into two layers on disk, with caches in memory.
//!
//! ```text
//! redirect cache → write buffer: → overlay (sled): → base: one sorted file
//! in memory recent changes changes since base
//! ```
//!
//! - The **base** is the index at an offset: an immutable `table`. The **overlay** holds the
//!   changes since, and stays small: when the log is far enough ahead, the [`Compactor`] builds a
//!   new base from the old one and the rest of the log while the service runs, and starts a new
//!   overlay over it. The **write buffer** holds in memory what is not flushed to the overlay yet.
//!   A start opens the two on disk and folds the rest of the log.
//! - **Consistency.** The applied offset changes in the same batch as the entries, so the index is
//!   always the fold of a prefix of the log, with the same [digest](Index::digest) however it was
//!   built. Only synced events are applied, so it never contains what the log could lose.
//! - **Self-repair.** Unusable files (missing, unreadable, truncated, modified, of another log, of
//!   another layout) are detected when they are opened or read, never used for an answer, and
//!   rebuilt from the log: at start, or while the service runs, when readers keep the old layers
//!   until the new ones are ready. The same goes for a store that has failed permanently, as sled
//!   does on a full disk: see [`Index::repair`].
//! - **Not repaired:** an index *ahead* of its log. Then the log has lost durable events, and
//!   [`IndexError::AheadOfLog`] reports it instead of dropping them silently.
//! - **Layers can be swapped at any time** for others at the same offset, since both are derived
//!   from the log. So a group decided over the old layers can be committed to the new ones:
//!   [`Index::commit`] checks the offset, under the lock that a swap takes too.

mod audited;
mod billing;
mod build;
mod cache;
mod compactor;
mod domains;
mod encoding;
mod error;
mod fold;
mod generations;
mod group;
mod hosts;
mod index_dir;
mod keys;
mod layers;
mod membership;
mod memory;
mod merged;
mod meta;
mod numbers;
mod pending;
mod presets;
mod qr_codes;
mod read;
mod rebuilder;
mod redirect;
mod reports;
mod scan;
mod state;
mod store;
mod users;
mod versions;
mod workspaces;
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
pub use billing::ReadBilling;
pub use compactor::Compactor;
pub use domains::ReadDomains;
pub use encoding::Tombstone;
pub use error::IndexError;
pub use generations::Stamp;
pub use group::Group;
pub use hosts::{HostSettings, Hosts};
pub use numbers::{Numbered, ReadNumbers};
pub use pending::Pending;
pub use qr_codes::{LinkedQrCode, ReadQrCodes};
pub use read::{Read, ReadRanges, Row};
pub use rebuilder::Rebuilder;
pub use redirect::{App, Apps, CompiledRouting, LinkFeatures, Redirect, RedirectTarget};
pub use scan::{Encoded, Ids, Named, Scan, Span};
pub use users::ReadUsers;
pub use versions::Version;
pub use workspaces::{ReadWorkspaces, all_invitations, all_memberships};

use crate::log::Log;
use generations::Generations;
use index_dir::{IndexDir, KeepGoing};
use layers::{Base, Damage, Layers};

/// Thresholds of the index; tests and benchmarks override them.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// A start builds a new base instead of folding more events than this into an overlay.
    pub start_events_min: u64,
    /// A new base is built while serving once the overlay is this many events beyond the old one.
    pub live_events_min: u64,
    /// Once nothing has changed for this long, the threshold is that of a start: an overlay takes far
    /// more memory than a base.
    pub idle: Duration,
    /// Both thresholds grow with the base, up to this, so that rebuilding it pays off.
    pub events_max: u64,
    /// The amount of memory to fold before writing a run of a build, in bytes.
    pub memtable_bytes: usize,
    /// A commit that finds more keys than this in the write buffer flushes it, and so waits for the
    /// store.
    pub unflushed_max: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            start_events_min: 10_000,
            live_events_min: 50_000,
            idle: Duration::from_secs(10),
            events_max: 500_000,
            memtable_bytes: 64 << 20,
            unflushed_max: 32_768,
        }
    }
}

/// Folding an event into the overlay takes about as long as rewriting this many entries of a base.
const ENTRIES_PER_EVENT: u64 = 100;

impl Tuning {
    /// Whether there are too many events for an overlay over a base with this many entries.
    fn is_base_due(&self, events: u64, events_min: u64, entries: u64) -> bool {
        events > (entries / ENTRIES_PER_EVENT).clamp(events_min, self.events_max.max(events_min))
    }
}

/// How long readers wait for the replacement of failed layers.
const SUCCESSOR_WAIT: Duration = Duration::from_millis(500);

/// The base of the index, for monitoring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseStatus {
    /// The offset that it reflects.
    pub offset: u64,
    /// The number of entries.
    pub entries: u64,
    /// When it was built, in milliseconds since the Unix epoch.
    pub made_at_ms: u64,
}

/// The index. It has many readers; only the dispatcher writes to it.
pub struct Index {
    dir: IndexDir,
    layers: ArcSwap<Layers>,
    redirects: cache::Redirects,
    hosts: ArcSwap<Hosts>,
    generations: Generations,
    /// Held while the layers change: by a commit or a swap.
    writer: Mutex<()>,
    /// Held by a repair, so that two callers with the same failure repair it once.
    repair: Mutex<()>,
    /// Replaced layers that still have readers.
    retired: Mutex<Vec<Arc<Layers>>>,
}

impl Read for Index {
    /// If the store has failed, waits a moment for its replacement.
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

    fn report_damage(&self, error: IndexError) -> IndexError {
        self.layers.load().report_damage(error)
    }
}

impl ReadRanges for Index {
    fn rows(&self, prefix: &[u8]) -> Result<Vec<Row>, IndexError> {
        self.layers.load().rows(store::prefixed(prefix), false).collect()
    }
}

impl Index {
    /// Opens the index in `folder` and catches up with `log`.
    ///
    /// # Errors
    /// [`IndexError::AheadOfLog`] if the log has lost events; else if the folder cannot be written
    /// or the log cannot be read. No content of the folder causes an error.
    pub fn open(folder: &Path, log: &dyn Log) -> Result<Self, IndexError> {
        Self::open_while(IndexDir::new(folder), log, &|_, _| true)
    }

    /// As [`open`](Self::open), with other thresholds.
    pub fn open_tuned(folder: &Path, log: &dyn Log, tuning: Tuning) -> Result<Self, IndexError> {
        let dir = IndexDir::with_stores(folder, Box::new(store::SledStores), tuning);
        Self::open_while(dir, log, &|_, _| true)
    }

    fn open_while(
        dir: IndexDir,
        log: &dyn Log,
        keep_going: KeepGoing<'_>,
    ) -> Result<Self, IndexError> {
        let layers = dir.open(log, keep_going)?;
        Ok(Self::with_layers(dir, layers))
    }

    fn with_layers(dir: IndexDir, layers: Arc<Layers>) -> Self {
        let index = Self {
            dir,
            layers: ArcSwap::new(layers),
            redirects: cache::Redirects::new(),
            hosts: ArcSwap::default(),
            generations: Generations::default(),
            writer: Mutex::new(()),
            repair: Mutex::new(()),
            retired: Mutex::new(Vec::new()),
        };
        index.reload_hosts(&index.layers.load());
        index
    }

    /// Rebuilds the index in `folder` from the log as it is, and opens it: for use without a
    /// service. Calls `progress` with the progress and the total. Old files are removed once the
    /// new index is complete.
    pub fn rebuild_folder(
        folder: &Path,
        log: &dyn Log,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Self, IndexError> {
        let dir = IndexDir::new(folder);
        let layers = dir.rebuild(log, &|done, total| {
            progress(done, total);
            true
        })?;
        Ok(Self::with_layers(dir, layers))
    }

    /// The replacement of failed layers, if it comes soon. All readers together wait no longer than
    /// the limit for the same layers; then they get the error at once.
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

    /// Whether the overlay's store has failed and may refuse reads: [`repair`](Self::repair)
    /// replaces it.
    pub fn has_failed_overlay(&self) -> bool {
        self.layers.load().damage() == Damage::Overlay
    }

    /// Starts a group of events over the applied state.
    pub fn begin(&self) -> Pending {
        Pending::new(self.layers.load_full())
    }

    /// Commits a group up to and including the event at `offset`, which the log has synced. The
    /// commit is atomic for readers.
    ///
    /// # Errors
    /// If the store has failed, and the write buffer is full; [`repair`](Self::repair) then applies
    /// the events from the log.
    pub fn commit(&self, pending: Pending, offset: u64) -> Result<(), IndexError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let layers = self.layers.load();
        // A repair in between may have applied the events from the log.
        if offset > layers.applied() {
            if pending.base_offset() != layers.applied() {
                return Err(IndexError::Broken("the group was decided at another offset"));
            }
            if layers.unflushed() > self.dir.tuning.unflushed_max {
                layers.flush_buffer()?;
            }
            let counters = Generations::counters_of(&pending.changes);
            layers.apply(pending.changes, offset);
            self.generations.increment(&counters);
            if pending.domains_touched {
                self.reload_hosts(&layers);
            }
        }
        self.redirects.invalidate(&pending.touched);
        Ok(())
    }

    /// Replaces a failed overlay with a new one over the same base, and catches up with the synced
    /// log. Readers continue meanwhile. If the disk is full, the overlay is kept in memory until
    /// there is space.
    ///
    /// # Errors
    /// If that fails too: then nothing changes, and it can be retried.
    pub fn repair(&self, log: &dyn Log) -> Result<(), IndexError> {
        let failed = self.layers.load_full();
        let _repair = self.repair.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&failed, &self.layers.load()) {
            return self.catch_up(log);
        }
        let base = failed.base().cloned().filter(|_| failed.damage() != Damage::Unknown);
        drop(failed);
        match self.replace_overlay(log, base.clone()) {
            Err(error) if error.is_full() => {
                self.take_over(self.dir.begin_in_memory(log, base)?, log)
            }
            replaced => replaced,
        }
    }

    /// Starts a new overlay on disk, or a new base if one is due.
    fn replace_overlay(&self, log: &dyn Log, base: Option<Arc<Base>>) -> Result<(), IndexError> {
        let layers = self.dir.begin(log, base, &|_, _| true)?;
        self.take_over(layers, log)
    }

    /// Rebuilds the index from the log alone, and switches to it when it is complete; readers and
    /// the writer continue meanwhile. Calls `progress` with the progress and the total.
    pub fn rebuild(
        &self,
        log: &dyn Log,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<(), IndexError> {
        self.rebuild_while(log, &|done, total| {
            progress(done, total);
            true
        })
    }

    fn rebuild_while(&self, log: &dyn Log, keep_going: KeepGoing<'_>) -> Result<(), IndexError> {
        let base = self.dir.make_base(log, log.synced(), None, keep_going)?;
        let layers = self.dir.begin_overlay(log, Some(base))?;
        self.take_over(layers, log)
    }

    /// Builds a new base from the current one and the rest of the log, and a new overlay.
    fn compact(&self, log: &dyn Log, keep_going: KeepGoing<'_>) -> Result<(), IndexError> {
        let before = self.layers.load().base().cloned();
        let from = before.as_ref().map(|base| &base.table);
        let base = self.dir.make_base(log, log.synced(), from, keep_going)?;
        drop(before);
        let layers = self.dir.begin_overlay(log, Some(base))?;
        self.take_over(layers, log)
    }

    /// Flushes the write buffer into the overlay, unless it is known to be damaged. A failure is
    /// recorded and repaired later.
    fn flush_buffer(&self) {
        let layers = self.layers.load();
        if layers.damage() == Damage::None {
            let _noted = layers.flush_buffer();
        }
    }

    /// Whether the overlay is large enough for a new base; a smaller one is if the index `is_idle`.
    fn is_base_due(&self, is_idle: bool) -> bool {
        let layers = self.layers.load();
        let tuning = &self.dir.tuning;
        let events_min = if is_idle { tuning.start_events_min } else { tuning.live_events_min };
        let (offset, entries) = layers.base_extent();
        tuning.is_base_due(layers.applied() - offset, events_min, entries)
    }

    /// Switches readers and the writer to other layers.
    fn take_over(&self, layers: Layers, log: &dyn Log) -> Result<(), IndexError> {
        let layers = Arc::new(layers);
        // Catch up most of the way without blocking the writer.
        let caught_up = index_dir::catch_up(&layers, log, log.synced()).and_then(|()| {
            let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            // Everything applied is synced, so this is at least as far as the old layers.
            index_dir::catch_up(&layers, log, log.synced())?;
            let before = self.layers.swap(Arc::clone(&layers));
            self.reload_hosts(&layers);
            if before.applied() != layers.applied() {
                self.redirects.invalidate_all();
                self.generations.increment_all();
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

    fn catch_up(&self, log: &dyn Log) -> Result<(), IndexError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let layers = self.layers.load_full();
        let before = layers.applied();
        let caught_up = index_dir::catch_up(&layers, log, log.synced());
        // It may have failed halfway.
        if layers.applied() != before {
            self.reload_hosts(&layers);
            self.redirects.invalidate_all();
            self.generations.increment_all();
        }
        caught_up
    }

    /// Removes replaced layers without readers.
    fn sweep(&self) {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = std::mem::take(&mut *retired);
        for layers in waiting {
            // No new references to them can be created.
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

    /// The base of the index; none while the log is short.
    pub fn base(&self) -> Option<BaseStatus> {
        let layers = self.layers.load();
        layers.base().map(|base| BaseStatus {
            offset: base.table.origin.offset,
            entries: base.table.entries,
            made_at_ms: base.table.made_at_ms,
        })
    }

    /// The redirect at a slug, from the cache or the store. On a case-insensitive domain the slug
    /// must be in lower case, so that the cache has one key for it.
    pub fn redirect(&self, domain: &str, slug: &str) -> Result<Option<Arc<Redirect>>, IndexError> {
        self.redirects.get_or_load(&cache::key(domain, slug), || {
            self.slug_at(domain, slug)?.map(|id| self.link(id)).transpose().map(Option::flatten)
        })
    }

    /// Notes in a stamp that what has this id will be read: call it before. The id is a user's or a
    /// workspace's, or the first 16 bytes of the hash of a token's secret.
    pub fn note(&self, stamp: &mut Stamp, id: &[u8; 16]) {
        self.generations.note(stamp, id);
    }

    /// Whether the tokens, users, sessions, workspaces and members with the ids in a stamp are as
    /// they were when these were noted.
    pub fn is_current(&self, stamp: &Stamp) -> bool {
        self.generations.is_current(stamp)
    }

    /// Makes all stamps outdated: something else has changed that was read with them.
    pub fn outdate_stamps(&self) {
        self.generations.increment_all();
    }

    /// SHA-256 over all keys and values: equal for equal logs, however the index was built.
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

    /// Waits until everything applied is on disk, so that the next start has nothing to redo.
    pub fn flush(&self) -> Result<(), IndexError> {
        self.layers.load().flush()
    }
}
