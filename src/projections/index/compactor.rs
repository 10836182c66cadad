//! The keeper: looks after the index while the service runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::layers::{Damage, Layers};
use super::{Index, IndexError};
use crate::log::Log;
use crate::projections::lower_priority;

/// How often the keeper looks whether there is something to do.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long it waits after a failure before it tries again; twice as long after each further one.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);
const TRY_AGAIN_AFTER_MAX: Duration = Duration::from_secs(64);

/// How often what was applied is brought into the overlay.
const SETTLE_EVERY: Duration = Duration::from_millis(20);

/// Two threads. One brings what was applied into the overlay. The other makes a new base when one
/// is due, replaces a store that has given up, repairs what readers have found damaged, reads each
/// base once for damage that nobody has met, brings a stopgap to the disk once there is room, and
/// takes away what is read no more; redirects go before it.
pub struct Compactor {
    stop: Arc<AtomicBool>,
    threads: [JoinHandle<()>; 2],
}

impl Compactor {
    /// Starts the threads.
    pub fn start(index: Arc<Index>, log: Arc<Log>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (settled, settler_stopped) = (Arc::clone(&index), Arc::clone(&stop));
        let settler = thread::Builder::new().name("index-settler".to_owned()).spawn(move || {
            while !settler_stopped.load(Ordering::Acquire) {
                settled.settle();
                thread::park_timeout(SETTLE_EVERY);
            }
        })?;
        let keeper = thread::Builder::new().name("index-keeper".to_owned()).spawn(move || {
            lower_priority();
            let (checked, again_at, wait) = (None, None, TRY_AGAIN_AFTER);
            let mut keeping = Keeping { index, log, checked, again_at, wait };
            // A long work asks in between whether to go on.
            let goes_on = || !stopped.load(Ordering::Acquire);
            while goes_on() {
                keeping.look(&goes_on);
                thread::park_timeout(LOOK_EVERY);
            }
        })?;
        Ok(Self { stop, threads: [keeper, settler] })
    }

    /// Stops the threads; what it was making is left, and made again after the next start.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads {
            thread.thread().unpark();
            let _panicked = thread.join();
        }
    }
}

struct Keeping {
    index: Arc<Index>,
    log: Arc<Log>,
    /// The base that was read for damage.
    checked: Option<u64>,
    /// When to try again after a failure.
    again_at: Option<Instant>,
    wait: Duration,
}

impl Keeping {
    fn look(&mut self, goes_on: &(dyn Fn() -> bool + Sync)) {
        self.index.sweep();
        if self.again_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        self.again_at = None;
        match self.work(goes_on) {
            Ok(()) => self.wait = TRY_AGAIN_AFTER,
            Err(IndexError::Stopped) => {}
            Err(error) => {
                tracing::warn!(%error, "the index could not be looked after; it is tried again");
                self.again_at = Some(Instant::now() + self.wait);
                self.wait = (self.wait * 2).min(TRY_AGAIN_AFTER_MAX);
            }
        }
    }

    fn work(&mut self, goes_on: &(dyn Fn() -> bool + Sync)) -> Result<(), IndexError> {
        let layers = self.index.layers.load_full();
        match layers.damage() {
            Damage::None => {}
            damage => {
                drop(layers);
                return self.mend(damage, goes_on);
            }
        }
        if layers.is_stopgap() {
            let base = layers.base().cloned();
            drop(layers);
            return self.index.replace_overlay(&self.log, base);
        }
        if self.index.is_base_due() {
            drop(layers);
            return self.renew(goes_on);
        }
        self.check(&layers, goes_on)
    }

    fn mend(&self, damage: Damage, goes_on: &(dyn Fn() -> bool + Sync)) -> Result<(), IndexError> {
        match damage {
            Damage::Overlay => self.index.repair(&self.log)?,
            _ => self.index.rebuild_while(&self.log, &|_, _| goes_on())?,
        }
        tracing::info!(offset = self.index.applied(), "the index is repaired");
        Ok(())
    }

    fn renew(&self, goes_on: &(dyn Fn() -> bool + Sync)) -> Result<(), IndexError> {
        match self.index.renew(&self.log, &|_, _| goes_on()) {
            Err(error @ IndexError::Damaged { .. }) => Err(self.index.layers.load().met(error)),
            renewed => renewed,
        }
    }

    fn check(
        &mut self,
        layers: &Layers,
        goes_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), IndexError> {
        let Some(base) = layers.base().filter(|base| self.checked != Some(base.number)) else {
            return Ok(());
        };
        base.table.check(goes_on).map_err(|error| layers.met(error.into()))?;
        if goes_on() {
            self.checked = Some(base.number);
        }
        Ok(())
    }
}
