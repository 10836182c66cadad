//! Background maintenance of the index.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::layers::{Damage, Layers};
use super::{Index, IndexError};
use crate::log::{Backoff, Log, Schedule, StopFlag, Subscription, Worker};

/// The interval between two looks at what is due.
const INTERVAL: Duration = Duration::from_millis(50);
/// A failed build may have written much; it is retried with care.
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(64));
/// The interval between flushes of the write buffer.
const FLUSH_INTERVAL: Duration = Duration::from_millis(20);

/// Two background threads. One flushes the write buffer into the overlay. The other builds a new
/// base when one is due, replaces a failed store, repairs damage that readers have found, checks
/// each base once for damage, moves an in-memory overlay to disk when there is space, and removes
/// unused files. It runs at a lower priority than redirects.
pub struct Compactor([Worker; 2]);

impl Compactor {
    /// Starts the threads.
    pub fn start(index: Arc<Index>, log: &Arc<dyn Log>) -> std::io::Result<Self> {
        let buffered = Arc::clone(&index);
        let flusher = Worker::start("index-flusher", Schedule::every(FLUSH_INTERVAL), move |_| {
            buffered.flush_buffer();
            Ok::<_, Infallible>(())
        })?;
        let base = log.subscribe("index-base", 0);
        let changed = (index.applied(), Instant::now());
        let mut maintenance = Maintenance { index, base, checked: None, changed };
        let schedule =
            Schedule { retry: RETRY, is_low_priority: true, ..Schedule::every(INTERVAL) };
        let compactor =
            Worker::start("index-compact", schedule, move |stop| maintenance.run(stop))?;
        Ok(Self([compactor, flusher]))
    }

    /// Stops the threads. Unfinished builds are discarded, and repeated after the next start.
    pub fn stop(self) {
        self.0.into_iter().for_each(Worker::stop);
    }
}

struct Maintenance {
    index: Arc<Index>,
    /// Up to its cursor, the base reflects the log.
    base: Subscription,
    /// The base that was checked for damage.
    checked: Option<u64>,
    /// The offset up to which events are applied, and when it was first seen.
    changed: (u64, Instant),
}

impl Maintenance {
    fn run(&mut self, stop: &StopFlag) -> Result<(), IndexError> {
        self.index.sweep();
        // Long tasks call this to check whether to continue.
        let keep_going = || !stop.is_set();
        let result = if keep_going() { self.run_once(&keep_going) } else { Ok(()) };
        self.base.advance(self.index.base().map_or(0, |base| base.offset));
        match result {
            Err(IndexError::Stopped) => Ok(()),
            result => result,
        }
    }

    fn run_once(&mut self, keep_going: &(dyn Fn() -> bool + Sync)) -> Result<(), IndexError> {
        let layers = self.index.layers.load_full();
        match layers.damage() {
            Damage::None => {}
            damage => {
                drop(layers);
                return self.repair(damage, keep_going);
            }
        }
        if layers.is_in_memory {
            let base = layers.base().cloned();
            drop(layers);
            return self.index.replace_overlay(&*self.base.log, base);
        }
        let is_idle = self.is_idle();
        if self.index.is_base_due(is_idle) {
            drop(layers);
            return self.compact(keep_going);
        }
        self.check(&layers, keep_going)
    }

    fn is_idle(&mut self) -> bool {
        let applied = self.index.applied();
        if applied != self.changed.0 {
            self.changed = (applied, Instant::now());
        }
        self.changed.1.elapsed() >= self.index.dir.tuning.idle
    }

    fn repair(
        &self,
        damage: Damage,
        keep_going: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), IndexError> {
        match damage {
            Damage::Overlay => self.index.repair(&*self.base.log)?,
            _ => self.index.rebuild_while(&*self.base.log, &|_, _| keep_going())?,
        }
        tracing::info!(offset = self.index.applied(), "repaired the index");
        Ok(())
    }

    fn compact(&self, keep_going: &(dyn Fn() -> bool + Sync)) -> Result<(), IndexError> {
        match self.index.compact(&*self.base.log, &|_, _| keep_going()) {
            Err(error @ IndexError::Damaged { .. }) => {
                Err(self.index.layers.load().report_damage(error))
            }
            renewed => renewed,
        }
    }

    fn check(
        &mut self,
        layers: &Layers,
        keep_going: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), IndexError> {
        let Some(base) = layers.base().filter(|base| self.checked != Some(base.number)) else {
            return Ok(());
        };
        base.table.check(keep_going).map_err(|error| layers.report_damage(error.into()))?;
        if keep_going() {
            self.checked = Some(base.number);
        }
        Ok(())
    }
}
