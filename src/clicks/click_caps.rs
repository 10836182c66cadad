//! How many clicks have gone through links that let only so many through.
//!
//! **Exact, in the log's order.** Whether a click still goes through is decided under its link's
//! own lock, and the click is in the log before the lock is given up; it says which click of the
//! limit it is. So the log alone tells the counts, and the clicks that went through stand in it in
//! the order in which they were counted.
//!
//! A file remembers the counts, so that a start has to read only the rest of the log. It is
//! written when all that it says is durable in the log, and may be older than the log: a click
//! that is read twice sets the same count. So it is written as a whole, and rarely. Lost, it is
//! made again from the log; counts of clicks that have left the log by then are gone with it.
//!
//! Counts of links that have no limit any more, or are gone for good, are removed before the file
//! is written, once there are many more counts than were needed the last time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use prost::Message;
use uuid::Uuid;

use crate::domain::click::kind;
use crate::domain::click::view::ClickView;
use crate::domain::ids::LinkId;
use crate::domain::link::ClickLimit;
use crate::log::{Log, LogError, replace_file};

/// How far the log may go on before the file is written, whether or not a count has changed: so
/// much a start reads in a moment.
const SAVED_EVERY_RECORDS: u64 = 1_000_000;
/// How long a changed count may wait before the file is written: less than clicks are kept at
/// least.
const SAVED_EVERY: Duration = Duration::from_secs(300);
/// So few counts are not looked through for ones that can be removed.
const FEW: usize = 1_000;

/// Why the counts can't be told.
#[derive(Debug, thiserror::Error)]
pub enum ClickCapsError {
    /// The click log can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The file can't be written.
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
}

/// See the module.
pub struct ClickCaps {
    path: PathBuf,
    used: RwLock<HashMap<[u8; 16], Arc<Mutex<Used>>>>,
    /// Whether a count has changed since the file was written.
    is_changed: AtomicBool,
    /// The offset of the log that the file reflects at least.
    saved: AtomicU64,
    saved_at: Mutex<Instant>,
    /// How many counts were left when they were looked through the last time.
    needed: AtomicUsize,
}

/// What is used of a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Used {
    /// Which limit: the link's version at which it began.
    since_version: u32,
    clicks: u64,
}

/// What becomes of a visit of a link with a limit.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission<T> {
    /// It goes through; what taking it down came to.
    Through(T),
    /// All clicks were used.
    UsedUp,
}

/// The file: a message, and its CRC-32C behind it.
#[derive(Clone, PartialEq, prost::Message)]
struct Saved {
    #[prost(bytes = "vec", tag = "1")]
    log: Vec<u8>,
    /// Each click up to this offset is counted.
    #[prost(uint64, tag = "2")]
    through: u64,
    #[prost(message, repeated, tag = "3")]
    links: Vec<SavedLink>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct SavedLink {
    #[prost(bytes = "vec", tag = "1")]
    link: Vec<u8>,
    #[prost(uint32, tag = "2")]
    since_version: u32,
    #[prost(uint64, tag = "3")]
    clicks: u64,
}

impl Used {
    /// A click of a limit was the `nth`. What is of an older limit, or was known, changes nothing.
    fn learn(&mut self, since_version: u32, nth: u64) {
        if since_version > self.since_version {
            *self = Self { since_version, clicks: nth };
        } else if since_version == self.since_version {
            self.clicks = self.clicks.max(nth);
        }
    }
}

fn read(used: &Mutex<Used>) -> Used {
    *used.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClickCaps {
    /// Reads the file, and what the log has beyond.
    ///
    /// # Errors
    /// Where the log can't be read, or the file can't be written.
    pub fn open(path: &Path, log: &Log) -> Result<Self, ClickCapsError> {
        let saved = Saved::read(path, log);
        if saved.is_none() && log.first() > 1 {
            tracing::warn!(
                file = %path.display(),
                "the counts of max_clicks are lost for clicks that have left the log"
            );
        }
        let saved = saved.unwrap_or_default();
        let limits = Self {
            path: path.to_owned(),
            used: RwLock::default(),
            is_changed: AtomicBool::new(false),
            saved: AtomicU64::new(saved.through),
            saved_at: Mutex::new(Instant::now()),
            needed: AtomicUsize::new(0),
        };
        for SavedLink { link, since_version, clicks } in saved.links {
            if let Ok(link) = <[u8; 16]>::try_from(link) {
                limits.learn(link, since_version, clicks);
            }
        }
        let mut reader = log.read_from((saved.through + 1).max(log.first()))?;
        while let Some(record) = reader.next_record()? {
            if record.kind != kind::CLICK {
                continue;
            }
            // Whoever can't read a click says so elsewhere: it is none of a limit that is known.
            let Ok(click) = ClickView::parse(&record.payload) else { continue };
            if let (1.., Ok(link)) = (click.limited_nth, click.link.try_into()) {
                limits.learn(link, click.limited_since, click.limited_nth);
                limits.is_changed.store(true, Ordering::Relaxed);
            }
        }
        limits.save_if_due(log, false)?;
        Ok(limits)
    }

    /// Lets a visit through if its link's limit does, and has it taken down by `append` before
    /// another visit of the link is decided; `append` gets the click's number, or nothing where
    /// it doesn't count for the limit.
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
            *used = Used { since_version: limit.since_version, clicks: 0 };
        }
        if used.clicks >= limit.max {
            return Admission::UsedUp;
        }
        if !is_counted {
            return Admission::Through(append(None));
        }
        // Counted also where the log could not take it: the visitor was let through.
        used.clicks += 1;
        self.is_changed.store(true, Ordering::Relaxed);
        Admission::Through(append(Some(used.clicks)))
    }

    /// How many clicks are used of a limit.
    pub fn used(&self, link: LinkId, limit: &ClickLimit) -> u64 {
        let links = self.used.read().unwrap_or_else(PoisonError::into_inner);
        let used = links.get(link.as_bytes());
        let used = used.map(|used| read(used));
        used.filter(|used| used.since_version == limit.since_version).map_or(0, |used| used.clicks)
    }

    /// Writes the file, if that was long ago; or at the end, if a count has changed since.
    ///
    /// # Errors
    /// Where the log can't be synced or the file can't be written: then it stays as it was.
    pub fn save_if_due(&self, log: &Log, is_last: bool) -> Result<(), ClickCapsError> {
        // Before the counts: each click up to here is in them.
        let through = log.end();
        let records = through.saturating_sub(self.saved.load(Ordering::Relaxed));
        let mut saved_at = self.saved_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_late = is_last || saved_at.elapsed() >= SAVED_EVERY;
        let is_due =
            records >= SAVED_EVERY_RECORDS || (is_late && self.is_changed.load(Ordering::Relaxed));
        if !is_due {
            return Ok(());
        }
        self.is_changed.store(false, Ordering::Relaxed);
        let saved = self.write(through, log);
        match saved {
            Ok(()) => *saved_at = Instant::now(),
            Err(_) => self.is_changed.store(true, Ordering::Relaxed),
        }
        saved
    }

    /// Removes the counts that are not needed, if there may be many.
    pub fn prune(&self, is_needed: impl Fn(LinkId) -> bool) {
        let links = self.used.read().unwrap_or_else(PoisonError::into_inner);
        if links.len() < FEW.max(2 * self.needed.load(Ordering::Relaxed)) {
            return;
        }
        let counts: Vec<_> = links.iter().map(|(link, used)| (*link, read(used))).collect();
        drop(links);
        let is_unneeded = |link: &[u8; 16]| !is_needed(LinkId::new(Uuid::from_bytes(*link)));
        let unneeded: Vec<_> = counts.into_iter().filter(|(link, _)| is_unneeded(link)).collect();
        let mut links = self.used.write().unwrap_or_else(PoisonError::into_inner);
        for (link, before) in unneeded {
            // A count that is in use or has changed belongs to a limit that was set meanwhile.
            let is_idle = |used: &Arc<Mutex<Used>>| Arc::strong_count(used) == 1;
            if links.get(&link).is_some_and(|used| is_idle(used) && read(used) == before) {
                links.remove(&link);
            }
        }
        links.shrink_to_fit();
        self.needed.store(links.len(), Ordering::Relaxed);
    }

    fn write(&self, through: u64, log: &Log) -> Result<(), ClickCapsError> {
        let links = self.used.read().unwrap_or_else(PoisonError::into_inner).clone();
        let link = |(link, used): (&[u8; 16], &Arc<Mutex<Used>>)| {
            let Used { since_version, clicks } = read(used);
            SavedLink { link: link.to_vec(), since_version, clicks }
        };
        let links = links.iter().map(link).collect();
        // A click is in the log before its count can be read here. What a power loss can take back
        // must not be remembered.
        log.sync()?;
        let mut bytes = Saved { log: log.id().to_vec(), through, links }.encode_to_vec();
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        replace_file(&self.path, &bytes)
            .map_err(|error| ClickCapsError::File(self.path.clone(), error))?;
        self.saved.store(through, Ordering::Relaxed);
        Ok(())
    }

    fn learn(&self, link: [u8; 16], since_version: u32, nth: u64) {
        let used = self.used_of(link);
        used.lock().unwrap_or_else(PoisonError::into_inner).learn(since_version, nth);
    }

    fn used_of(&self, link: [u8; 16]) -> Arc<Mutex<Used>> {
        let known = self.used.read().unwrap_or_else(PoisonError::into_inner).get(&link).cloned();
        known.unwrap_or_else(|| {
            let mut links = self.used.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(links.entry(link).or_default())
        })
    }
}

impl Saved {
    /// The file of this log; `None` where there is none that can be believed.
    fn read(path: &Path, log: &Log) -> Option<Self> {
        let bytes = std::fs::read(path).ok()?;
        let (body, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        if crc32c::crc32c(body).to_le_bytes() != crc {
            return None;
        }
        let saved = Self::decode(body).ok()?;
        // A restored log may be shorter than what was counted once.
        (saved.log == log.id() && saved.through <= log.end()).then_some(saved)
    }
}

#[cfg(test)]
#[path = "click_caps_tests.rs"]
mod tests;
