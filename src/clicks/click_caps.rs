//! Click caps: counts the clicks of links with a `max_clicks` limit.
//!
//! **Exact, in log order.** Whether a click is admitted is decided under its link's own lock, and
//! the click is in the log before the lock is released, with its number within the limit. So the
//! counts can be derived from the log alone, which has the admitted clicks in counting order.
//!
//! A snapshot file stores the counts, so that startup only reads the rest of the log. It is written
//! only when everything in it is durable in the log, and may be older than the log: reading a click
//! twice sets the same count. So it is written rarely, and replaced atomically. If it is lost, it is
//! rebuilt from the log; counts of clicks that were dropped from the log by then are lost.
//!
//! Counts of links without a limit, and of purged links, are removed before the file is written, if
//! there are many more counts than were needed the last time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use prost::Message;
use uuid::Uuid;

use crate::domain::click::kind;
use crate::domain::click::view::ClickView;
use crate::domain::ids::LinkId;
use crate::domain::link::ClickLimit;
use crate::log::{Log, LogError, Subscription, replace_file};

/// The file is written at least once per this many records, even if no count has changed: startup
/// reads this many quickly.
const SAVE_INTERVAL_RECORDS: u64 = 1_000_000;
/// Maximum age of an unsaved change: less than the minimum retention of clicks.
const SAVE_INTERVAL: Duration = Duration::from_secs(300);
/// Counts are not pruned below this number.
const PRUNE_LEN_MIN: usize = 1_000;

/// Why the counts are unavailable.
#[derive(Debug, thiserror::Error)]
pub enum ClickCapsError {
    /// The click log can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The file can't be written.
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
}

/// See the [module](self).
pub struct ClickCaps {
    path: PathBuf,
    used: RwLock<HashMap<[u8; 16], Arc<Mutex<Usage>>>>,
    /// Whether a count has changed since the file was written.
    is_changed: AtomicBool,
    /// The file reflects the log at least up to its cursor.
    saved: Subscription,
    last_saved: Mutex<Instant>,
    /// Number of counts left after the last pruning.
    needed: AtomicUsize,
}

/// The clicks counted for a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Usage {
    /// Identifies the limit: the link version that set it.
    since_version: u32,
    clicks: u64,
}

/// The decision on a visit of a link with a limit.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission<T> {
    /// Admitted; the result of appending it.
    Through(T),
    /// The limit is reached.
    UsedUp,
}

/// The file: this message, followed by its CRC-32C.
#[derive(Clone, PartialEq, prost::Message)]
struct Snapshot {
    #[prost(bytes = "vec", tag = "1")]
    log: Vec<u8>,
    /// All clicks up to this offset are counted.
    #[prost(uint64, tag = "2")]
    through: u64,
    #[prost(message, repeated, tag = "3")]
    links: Vec<LinkCount>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct LinkCount {
    #[prost(bytes = "vec", tag = "1")]
    link: Vec<u8>,
    #[prost(uint32, tag = "2")]
    since_version: u32,
    #[prost(uint64, tag = "3")]
    clicks: u64,
}

impl Usage {
    /// Records that a click was the `nth` of a limit. Older limits and known clicks change nothing.
    fn record(&mut self, since_version: u32, nth: u64) {
        if since_version > self.since_version {
            *self = Self { since_version, clicks: nth };
        } else if since_version == self.since_version {
            self.clicks = self.clicks.max(nth);
        }
    }
}

fn read(used: &Mutex<Usage>) -> Usage {
    *used.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClickCaps {
    /// Reads the file and the rest of the log.
    pub fn open(path: &Path, log: &Arc<dyn Log>) -> Result<Self, ClickCapsError> {
        let saved = Snapshot::read(path, &**log);
        if saved.is_none() && log.first() > 1 {
            tracing::warn!(
                file = %path.display(),
                "max_clicks counts of clicks that were dropped from the log are lost"
            );
        }
        let saved = saved.unwrap_or_default();
        let caps = Self {
            path: path.to_owned(),
            used: RwLock::default(),
            is_changed: AtomicBool::new(false),
            saved: log.subscribe("click-caps", saved.through.max(log.first() - 1)),
            last_saved: Mutex::new(Instant::now()),
            needed: AtomicUsize::new(0),
        };
        for LinkCount { link, since_version, clicks } in saved.links {
            if let Ok(link) = <[u8; 16]>::try_from(link) {
                caps.record(link, since_version, clicks);
            }
        }
        let mut reader = caps.saved.reader()?;
        while let Some(record) = reader.next_record()? {
            if record.kind != kind::CLICK {
                continue;
            }
            // Unreadable clicks are reported elsewhere; they belong to no known limit.
            let Ok(click) = ClickView::parse(&record.payload) else { continue };
            if let (1.., Ok(link)) = (click.limited_nth, click.link.try_into()) {
                caps.record(link, click.limited_since, click.limited_nth);
                caps.is_changed.store(true, Ordering::Relaxed);
            }
        }
        caps.save_if_due(false)?;
        Ok(caps)
    }

    /// Admits a visit if its link's limit allows it, and calls `append` before another visit of the
    /// link is decided. `append` gets the click's number, or `None` if it does not count towards the
    /// limit.
    pub fn admit<T>(
        &self,
        link: LinkId,
        limit: &ClickLimit,
        is_counted: bool,
        append: impl FnOnce(Option<u64>) -> T,
    ) -> Admission<T> {
        let used = self.used_of(*link.as_bytes());
        let mut used = used.lock().unwrap_or_else(PoisonError::into_inner);
        if limit.since_version > used.since_version {
            *used = Usage { since_version: limit.since_version, clicks: 0 };
        }
        if used.clicks >= limit.max {
            return Admission::UsedUp;
        }
        if !is_counted {
            return Admission::Through(append(None));
        }
        // Counted even if the append fails: the visitor is redirected anyway.
        used.clicks += 1;
        self.is_changed.store(true, Ordering::Relaxed);
        Admission::Through(append(Some(used.clicks)))
    }

    /// Number of clicks counted for a limit.
    pub fn used(&self, link: LinkId, limit: &ClickLimit) -> u64 {
        let links = self.used.read().unwrap_or_else(PoisonError::into_inner);
        let used = links.get(link.as_bytes());
        let used = used.map(|used| read(used));
        used.filter(|used| used.since_version == limit.since_version).map_or(0, |used| used.clicks)
    }

    /// Writes the file if it is due; if `is_last`, whenever a count has changed since.
    ///
    /// # Errors
    /// If the log can't be synced or the file can't be written; then the file is unchanged.
    pub fn save_if_due(&self, is_last: bool) -> Result<(), ClickCapsError> {
        // Read before the counts, so that they include every click up to here.
        let through = self.saved.log.end();
        let records = through.saturating_sub(self.saved.cursor());
        let mut last_saved = self.last_saved.lock().unwrap_or_else(PoisonError::into_inner);
        let is_late = is_last || last_saved.elapsed() >= SAVE_INTERVAL;
        let is_due = records >= SAVE_INTERVAL_RECORDS
            || (is_late && self.is_changed.load(Ordering::Relaxed));
        if !is_due {
            return Ok(());
        }
        self.is_changed.store(false, Ordering::Relaxed);
        let saved = self.write(through);
        match saved {
            Ok(()) => *last_saved = Instant::now(),
            Err(_) => self.is_changed.store(true, Ordering::Relaxed),
        }
        saved
    }

    /// Removes the counts that are not needed, if there are many.
    pub fn prune(&self, is_needed: impl Fn(LinkId) -> bool) {
        let links = self.used.read().unwrap_or_else(PoisonError::into_inner);
        if links.len() < PRUNE_LEN_MIN.max(2 * self.needed.load(Ordering::Relaxed)) {
            return;
        }
        let counts: Vec<_> = links.iter().map(|(link, used)| (*link, read(used))).collect();
        drop(links);
        let is_unneeded = |link: &[u8; 16]| !is_needed(LinkId::new(Uuid::from_bytes(*link)));
        let unneeded: Vec<_> = counts.into_iter().filter(|(link, _)| is_unneeded(link)).collect();
        let mut links = self.used.write().unwrap_or_else(PoisonError::into_inner);
        for (link, before) in unneeded {
            // A count that is in use or has changed belongs to a limit that was set in the meantime.
            let is_idle = |used: &Arc<Mutex<Usage>>| Arc::strong_count(used) == 1;
            if links.get(&link).is_some_and(|used| is_idle(used) && read(used) == before) {
                links.remove(&link);
            }
        }
        links.shrink_to_fit();
        self.needed.store(links.len(), Ordering::Relaxed);
    }

    fn write(&self, through: u64) -> Result<(), ClickCapsError> {
        let links = self.used.read().unwrap_or_else(PoisonError::into_inner).clone();
        let link = |(link, used): (&[u8; 16], &Arc<Mutex<Usage>>)| {
            let Usage { since_version, clicks } = read(used);
            LinkCount { link: link.to_vec(), since_version, clicks }
        };
        let links = links.iter().map(link).collect();
        // Sync first: the file must not have counts of clicks that a power failure can lose.
        self.saved.log.sync()?;
        let mut bytes =
            Snapshot { log: self.saved.log.id().to_vec(), through, links }.encode_to_vec();
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        replace_file(&self.path, &bytes)
            .map_err(|error| ClickCapsError::File(self.path.clone(), error))?;
        self.saved.advance(through);
        Ok(())
    }

    fn record(&self, link: [u8; 16], since_version: u32, nth: u64) {
        let used = self.used_of(link);
        used.lock().unwrap_or_else(PoisonError::into_inner).record(since_version, nth);
    }

    fn used_of(&self, link: [u8; 16]) -> Arc<Mutex<Usage>> {
        let known = self.used.read().unwrap_or_else(PoisonError::into_inner).get(&link).cloned();
        known.unwrap_or_else(|| {
            let mut links = self.used.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(links.entry(link).or_default())
        })
    }
}

impl Snapshot {
    /// Reads the file; `None` if it is absent, damaged or of another log.
    fn read(path: &Path, log: &dyn Log) -> Option<Self> {
        let bytes = std::fs::read(path).ok()?;
        let (body, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        if crc32c::crc32c(body).to_le_bytes() != crc {
            return None;
        }
        let saved = Self::decode(body).ok()?;
        // A log restored from a backup may be shorter than the file's offset.
        (saved.log == log.id() && saved.through <= log.end()).then_some(saved)
    }
}

#[cfg(test)]
#[path = "click_caps_tests.rs"]
mod tests;
