//! Background maintenance of the index.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::layers::{Damage, Layers};
use super::{Index, IndexError};
use crate::log::Log;
use crate::projections::lower_priority;

/// The polling interval.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The delay before a retry, doubled after each further failure.
const RETRY_DELAY: Duration = Duration::from_secs(1);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(64);

/// The interval between flushes of the write buffer.
const FLUSH_INTERVAL: Duration = Duration::from_millis(20);

/// Two background threads. One flushes the write buffer into the overlay. The other builds a new
/// base when one is due, replaces a failed store, repairs damage that readers have found, checks
/// each base once for damage, moves an in-memory overlay to disk when there is space, and removes
/// unused files. It runs at a lower priority than redirects.
pub struct Compactor {
    stop: Arc<AtomicBool>,
    threads: [JoinHandle<()>; 2],
}

impl Compactor {
    /// Starts the threads.
    pub fn start(index: Arc<Index>, log: Arc<Log>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stop_flag = Arc::clone(&stop);
        let (buffered, flusher_stop) = (Arc::clone(&index), Arc::clone(&stop));
        let flusher = thread::Builder::new().name("index-flusher".to_owned()).spawn(move || {
            while !flusher_stop.load(Ordering::Acquire) {
                buffered.flush_buffer();
                thread::park_timeout(FLUSH_INTERVAL);
            }
        })?;
        let worker = thread::Builder::new().name("index-compact".to_owned()).spawn(move || {
            lower_priority();
            let (checked, retry_at, wait) = (None, None, RETRY_DELAY);
            let mut maintenance = Maintenance { index, log, checked, retry_at, wait };
            // Long tasks call this to check whether to continue.
            let keep_going = || !stop_flag.load(Ordering::Acquire);
            while keep_going() {
                maintenance.tick(&keep_going);
                thread::park_timeout(POLL_INTERVAL);
            }
        })?;
        Ok(Self { stop, threads: [worker, flusher] })
    }

    /// Stops the threads. Unfinished builds are discarded, and repeated after the next start.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads {
            thread.thread().unpark();
            let _panicked = thread.join();
        }
    }
}

struct Maintenance {
    index: Arc<Index>,
    log: Arc<Log>,
    /// The base that was checked for damage.
    checked: Option<u64>,
    /// The time of the next retry.
    retry_at: Option<Instant>,
    wait: Duration,
}

impl Maintenance {
    fn tick(&mut self, keep_going: &(dyn Fn() -> bool + Sync)) {
        self.index.sweep();
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        self.retry_at = None;
        match self.run_once(keep_going) {
            Ok(()) => self.wait = RETRY_DELAY,
            Err(IndexError::Stopped) => {}
            Err(error) => {
                tracing::warn!(%error, "maintenance of the index failed; retrying");
                self.retry_at = Some(Instant::now() + self.wait);
                self.wait = (self.wait * 2).min(RETRY_DELAY_MAX);
            }
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
        if layers.is_in_memory() {
            let base = layers.base().cloned();
            drop(layers);
            return self.index.replace_overlay(&self.log, base);
        }
        if self.index.is_base_due() {
            drop(layers);
            return self.compact(keep_going);
        }
        self.check(&layers, keep_going)
    }

    fn repair(
        &self,
        damage: Damage,
        keep_going: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), IndexError> {
        match damage {
            Damage::Overlay => self.index.repair(&self.log)?,
            _ => self.index.rebuild_while(&self.log, &|_, _| keep_going())?,
        }
        tracing::info!(offset = self.index.applied(), "repaired the index");
        Ok(())
    }

    fn compact(&self, keep_going: &(dyn Fn() -> bool + Sync)) -> Result<(), IndexError> {
        match self.index.compact(&self.log, &|_, _| keep_going()) {
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
