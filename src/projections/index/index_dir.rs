//! The index's folder: its files, which of them can be used, and how they are replaced.
//!
//! | name | content |
//! |---|---|
//! | `base-N` | a complete base, see [`sst`](crate::sst) |
//! | `overlay-N` | the folder of a store; its metadata names its base |
//! | `base-N.part`, `runs-N` | a base that is being built |
//!
//! Numbers are not reused while the service runs. **Order of a change:** a base is written under
//! another name, synced and renamed, and the folder synced; then an overlay over it is created and
//! caught up; then readers are switched to it; then the old overlay and the old base are removed. A
//! crash between any two steps leaves an overlay with its base, or a base, or both twice. A start
//! opens the newest valid overlay, else the newest base, else nothing; folds the rest of the log;
//! and removes unused files.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::build::Job;
use super::keys;
use super::layers::{Base, Layers};
use super::memory::MemoryStore;
use super::meta::Meta;
use super::pending::Pending;
use super::store::{SledStores, Store, Stores};
use super::{IndexError, Tuning};
use crate::domain::event::Envelope;
use crate::log::Log;
use crate::sst::{Origin, Table};

/// The maximum number of keys per batch while catching up with the log.
const BATCH_KEYS: usize = 4_096;

/// Files of former versions, which had a sled in the folder itself.
const LEGACY_PREFIXES: &[&str] = &["conf", "db", "blobs", "snap."];

/// The index's folder.
pub struct IndexDir {
    folder: PathBuf,
    stores: Box<dyn Stores>,
    next_number: AtomicU64,
    pub tuning: Tuning,
}

/// Called with the progress and the total of a long task; returns whether to continue.
pub type KeepGoing<'a> = &'a (dyn Fn(u64, u64) -> bool + Sync);

impl IndexDir {
    pub fn new(folder: &Path) -> Self {
        Self::with_stores(folder, Box::new(SledStores), Tuning::default())
    }

    pub fn with_stores(folder: &Path, stores: Box<dyn Stores>, tuning: Tuning) -> Self {
        let next_number = AtomicU64::new(1);
        Self { folder: folder.to_owned(), stores, next_number, tuning }
    }

    fn number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    fn base_path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("base-{number}"))
    }

    fn overlay_path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("overlay-{number}"))
    }

    /// The numbers of the files with a prefix, newest first.
    fn numbers(&self, prefix: &str) -> Result<Vec<u64>, IndexError> {
        let mut numbers: Vec<u64> = self
            .names()?
            .iter()
            .filter_map(|name| name.strip_prefix(prefix)?.parse().ok())
            .collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(numbers)
    }

    fn names(&self) -> Result<Vec<String>, IndexError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(IndexError::io(&self.folder))? {
            let entry = entry.map_err(IndexError::io(&self.folder))?;
            names.extend(entry.file_name().into_string());
        }
        Ok(names)
    }

    /// The existing overlays and bases; new ones will have higher numbers.
    fn inventory(&self) -> Result<(Vec<u64>, Vec<u64>), IndexError> {
        fs::create_dir_all(&self.folder).map_err(IndexError::io(&self.folder))?;
        let (overlays, bases) = (self.numbers("overlay-")?, self.numbers("base-")?);
        let highest = overlays.iter().chain(&bases).max().copied().unwrap_or(0);
        self.next_number.fetch_max(highest.saturating_add(1), Ordering::Relaxed);
        Ok((overlays, bases))
    }

    /// Rebuilds everything from the log as it is, and removes the old files, even if they are ahead
    /// of it.
    pub fn rebuild(
        &self,
        log: &dyn Log,
        keep_going: KeepGoing<'_>,
    ) -> Result<Arc<Layers>, IndexError> {
        self.inventory()?;
        let base = self.make_base(log, log.end(), None, keep_going)?;
        let layers = Arc::new(self.begin_overlay(log, Some(base))?);
        self.sweep(&layers);
        Ok(layers)
    }

    /// Opens the usable files, or creates new ones, and catches up with the log.
    pub fn open(
        &self,
        log: &dyn Log,
        keep_going: KeepGoing<'_>,
    ) -> Result<Arc<Layers>, IndexError> {
        let (overlays, bases) = self.inventory()?;
        let mut found = None;
        for number in overlays {
            found = ok_or_warn(self.open_overlay(number, log), "an overlay of the index")?;
            if found.is_some() {
                break;
            }
        }
        let mut base = None;
        if found.is_none() {
            for number in bases {
                let opened = ok_or_warn(self.open_base(number, log), "a base of the index")?;
                let offset = |base: &Arc<Base>| base.table.origin.offset;
                if opened.as_ref().map(offset) > base.as_ref().map(offset) {
                    base = opened;
                }
            }
        }
        let base = base.or_else(|| found.as_ref().and_then(|layers| layers.base().cloned()));
        let opened = self.open_over(log, found, base.clone(), keep_going);
        let layers = match opened {
            Err(error) if error.is_full() => {
                let layers = Arc::new(self.begin_in_memory(log, base)?);
                catch_up(&layers, log, log.end())?;
                layers
            }
            opened => opened?,
        };
        self.sweep(&layers);
        Ok(layers)
    }

    /// Catches up from the overlay found, or from a new one over the base.
    fn open_over(
        &self,
        log: &dyn Log,
        found: Option<Layers>,
        base: Option<Arc<Base>>,
        keep_going: KeepGoing<'_>,
    ) -> Result<Arc<Layers>, IndexError> {
        let layers = match found {
            Some(layers) if !self.is_base_due(log.end() - layers.applied(), layers.base()) => {
                layers
            }
            Some(layers) => {
                drop_store(layers.into_parts().0);
                self.begin(log, base, keep_going)?
            }
            None => self.begin(log, base, keep_going)?,
        };
        let layers = Arc::new(layers);
        catch_up(&layers, log, log.end())?;
        Ok(layers)
    }

    /// A new overlay over a base; if the log is too far ahead, over a newer base built from it.
    pub fn begin(
        &self,
        log: &dyn Log,
        base: Option<Arc<Base>>,
        keep_going: KeepGoing<'_>,
    ) -> Result<Layers, IndexError> {
        let offset = base.as_ref().map_or(0, |base| base.table.origin.offset);
        if !self.is_base_due(log.synced() - offset, base.as_ref()) {
            return self.begin_overlay(log, base);
        }
        let from = base.as_ref().map(|base| &base.table);
        let made = match self.make_base(log, log.synced(), from, keep_going) {
            Err(error @ IndexError::Damaged { .. }) if from.is_some() => {
                tracing::warn!(%error, "rebuilding a base of the index from the log");
                self.make_base(log, log.synced(), None, keep_going)?
            }
            made => made?,
        };
        self.begin_overlay(log, Some(made))
    }

    fn is_base_due(&self, events: u64, base: Option<&Arc<Base>>) -> bool {
        let entries = base.map_or(0, |base| base.table.entries);
        self.tuning.is_base_due(events, self.tuning.start_events_min, entries)
    }

    /// Builds a base from the log up to an offset, over another one or from nothing.
    pub fn make_base(
        &self,
        log: &dyn Log,
        upto: u64,
        from: Option<&Table>,
        keep_going: KeepGoing<'_>,
    ) -> Result<Arc<Base>, IndexError> {
        let number = self.number();
        let part = self.folder.join(format!("base-{number}.part"));
        let scratch = self.folder.join(format!("runs-{number}"));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let started = std::time::Instant::now();
        let job = Job {
            base: from,
            now_ms: now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(0)),
            memtable_bytes: self.tuning.memtable_bytes,
            on_progress: keep_going,
            ..Job::new(log, upto, &part, &scratch)
        };
        drop(job.run()?);
        let path = self.base_path(number);
        fs::rename(&part, &path).map_err(IndexError::io(&path))?;
        let synced = fs::File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(IndexError::io(&self.folder))?;
        let table = Table::open(&path, keys::is_readable)?;
        tracing::info!(
            offset = upto,
            entries = table.entries,
            took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "built a new base of the index"
        );
        Ok(Arc::new(Base { number, table }))
    }

    /// A new, empty overlay over a base.
    pub fn begin_overlay(
        &self,
        log: &dyn Log,
        base: Option<Arc<Base>>,
    ) -> Result<Layers, IndexError> {
        let path = self.overlay_path(self.number());
        let layers = self
            .stores
            .open(&path)
            .and_then(|overlay| Layers::begin(overlay, &path, log.id(), base));
        if layers.is_err() {
            remove(&path);
        }
        layers
    }

    /// A new overlay in memory over a base, for as long as the disk is full.
    pub fn begin_in_memory(
        &self,
        log: &dyn Log,
        base: Option<Arc<Base>>,
    ) -> Result<Layers, IndexError> {
        tracing::warn!("the disk is full; keeping changes to the index in memory");
        let path = self.overlay_path(self.number());
        let mut layers = Layers::begin(Box::new(MemoryStore::default()), &path, log.id(), base)?;
        layers.is_in_memory = true;
        Ok(layers)
    }

    fn open_overlay(&self, number: u64, log: &dyn Log) -> Result<Layers, IndexError> {
        let path = self.overlay_path(number);
        let overlay = self.stores.open(&path)?;
        let over = Layers::checked_meta(&*overlay).and_then(|meta| {
            let origin = Origin { log: meta.log, offset: meta.applied };
            Self::check_origin(origin, log, &path)?;
            Ok((self.base_of(&meta, log)?, meta))
        });
        match over {
            Ok((base, meta)) => Ok(Layers::new(overlay, &path, base, meta)),
            Err(error) => {
                drop_store(overlay);
                Err(error)
            }
        }
    }

    fn base_of(&self, meta: &Meta, log: &dyn Log) -> Result<Option<Arc<Base>>, IndexError> {
        if meta.base == 0 {
            return Ok(None);
        }
        let base = self.open_base(meta.base, log)?;
        if base.table.origin.offset != meta.base_offset {
            return Err(IndexError::Broken("the overlay belongs to another base"));
        }
        Ok(Some(base))
    }

    fn open_base(&self, number: u64, log: &dyn Log) -> Result<Arc<Base>, IndexError> {
        let path = self.base_path(number);
        let table = Table::open(&path, keys::is_readable)?;
        Self::check_origin(table.origin, log, &path)?;
        Ok(Arc::new(Base { number, table }))
    }

    fn check_origin(origin: Origin, log: &dyn Log, path: &Path) -> Result<(), IndexError> {
        if origin.log != log.id() {
            return Err(IndexError::Broken("belongs to another log"));
        }
        if origin.offset > log.end() {
            let (path, applied, end) = (path.to_owned(), origin.offset, log.end());
            return Err(IndexError::AheadOfLog { path, applied, end });
        }
        Ok(())
    }

    /// Removes all files that these layers do not need. A file that cannot be removed only takes up
    /// space.
    fn sweep(&self, layers: &Layers) {
        let base = layers.base().map(|base| base.table.path.clone());
        for name in self.names().unwrap_or_default() {
            let path = self.folder.join(&name);
            let is_in_use = path == layers.folder || Some(&path) == base.as_ref();
            let is_ours = ["base-", "overlay-", "runs-"].iter().chain(LEGACY_PREFIXES);
            if !is_in_use && is_ours.into_iter().any(|prefix| name.starts_with(prefix)) {
                remove(&path);
            }
        }
    }
}

/// Skips what cannot be opened, with a warning. An index ahead of its log is an error: then it is
/// the log that has lost events.
fn ok_or_warn<T>(opened: Result<T, IndexError>, what: &str) -> Result<Option<T>, IndexError> {
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(error @ IndexError::AheadOfLog { .. }) => Err(error),
        Err(error) => {
            tracing::warn!(%error, "cannot use {what}; rebuilding it from the log");
            Ok(None)
        }
    }
}

/// Applies the log from the applied offset up to another.
pub fn catch_up(layers: &Arc<Layers>, log: &dyn Log, upto: u64) -> Result<(), IndexError> {
    if layers.applied() >= upto {
        return Ok(());
    }
    let mut reader = log.read_from(layers.applied() + 1)?;
    let mut pending = Pending::new(Arc::clone(layers));
    while let Some(record) = reader.next_through(upto)? {
        let of = (record.offset, record.kind, record.version);
        pending.apply(&Envelope::of_record(of, &record.payload)?)?;
        if pending.len() >= BATCH_KEYS || record.offset == upto {
            layers.apply(pending.changes, record.offset);
            layers.flush_buffer()?;
            pending = Pending::new(Arc::clone(layers));
        }
    }
    if layers.applied() < upto {
        return Err(IndexError::Broken("the log ends early"));
    }
    Ok(())
}

/// Removes layers without readers: the overlay, and the base unless other layers use it.
pub fn retire(layers: Layers) {
    let (overlay, folder, base) = layers.into_parts();
    drop_store(overlay);
    remove(&folder);
    if let Some(base) = base.and_then(Arc::into_inner) {
        remove(&base.table.path);
    }
}

/// Closing a broken store may panic, as opening it may.
fn drop_store(overlay: Box<dyn Store>) {
    let _panicked = catch_unwind(AssertUnwindSafe(|| drop(overlay)));
}

fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if let Err(error) = removed
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "cannot remove a part of the index");
    }
}
