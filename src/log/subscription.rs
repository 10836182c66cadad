//! Subscriptions: named readers that follow a log.
//!
//! The *cursor* of a subscription is the offset up to which all records are processed. Its owner
//! keeps it on disk in the form that it needs, and passes it to `Log::subscribe` after a restart;
//! a record may then be processed again. Only [synced](Log::synced) records are processed: a power
//! failure could remove the others. Subscriptions poll, so that a batch collects the records of an
//! interval; a [`Worker`](super::Worker) does that on a thread, with a back-off after failures.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Log, LogError, Reader};

/// The cursors of a log's subscriptions by name, for monitoring.
#[derive(Debug, Default)]
pub struct Cursors(Mutex<BTreeMap<&'static str, Arc<AtomicU64>>>);

impl Cursors {
    /// The name of each subscription, and the offset up to which it has processed all records.
    pub fn list(&self) -> Vec<(&'static str, u64)> {
        let cursors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cursors.iter().map(|(name, cursor)| (*name, cursor.load(Ordering::Acquire))).collect()
    }
}

/// A position in a log that is followed.
pub struct Subscription {
    /// The log.
    pub log: Arc<dyn Log>,
    cursor: Arc<AtomicU64>,
}

impl dyn Log {
    /// Follows the log after the offset `cursor`. A later subscription of the same name takes this
    /// one's place in [`Log::cursors`].
    pub fn subscribe(self: &Arc<Self>, name: &'static str, cursor: u64) -> Subscription {
        let subscription = Subscription::unlisted(Arc::clone(self), cursor);
        let mut cursors = self.cursors().0.lock().unwrap_or_else(PoisonError::into_inner);
        cursors.insert(name, Arc::clone(&subscription.cursor));
        subscription
    }
}

impl Subscription {
    /// Follows a log without being listed in [`Log::cursors`].
    pub fn unlisted(log: Arc<dyn Log>, cursor: u64) -> Self {
        Self { log, cursor: Arc::new(AtomicU64::new(cursor)) }
    }

    /// All records up to and including this offset are processed.
    pub fn cursor(&self) -> u64 {
        self.cursor.load(Ordering::Acquire)
    }

    /// Marks the records up to and including an offset as processed.
    pub fn advance(&self, offset: u64) {
        self.cursor.store(offset, Ordering::Release);
    }

    /// Reads the records after the cursor.
    pub fn reader(&self) -> Result<Reader, LogError> {
        self.log.read_from(self.cursor() + 1)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::log::simulated::SimulatedStorage;
    use crate::log::{LocalLog, LogOptions};

    #[test]
    fn a_subscription_continues_after_its_cursor_and_shows_it_by_name() {
        let storage = Arc::new(SimulatedStorage::default());
        let log = LocalLog::open(storage, Path::new("log"), LogOptions::default()).unwrap();
        let log: Arc<dyn Log> = Arc::new(log);
        log.append_payloads(1, 1, &[vec![1], vec![2], vec![3]]).unwrap();
        let first = log.subscribe("mail", 0);
        first.advance(2);
        assert_eq!(first.reader().unwrap().next_offset(), 3);
        assert_eq!(log.cursors().list(), [("mail", 2)]);
        let again = log.subscribe("mail", first.cursor());
        let unlisted = Subscription::unlisted(Arc::clone(&log), 0);
        again.advance(3);
        assert_eq!((first.cursor(), unlisted.cursor()), (2, 0));
        assert_eq!(log.cursors().list(), [("mail", 3)]);
    }
}
