//! The recorder: visits in, click records out, and the thread that syncs them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use metrics::Counter;

use super::waiting::Waiting;
use super::{Interpreter, Visit};
use crate::domain::click::{BotReason, ClickTarget, VERSION, kind};
use crate::log::{Log, LogError, NewRecord};

/// How often at most it is said that clicks are lost.
const COMPLAIN_EVERY_MS: u64 = 10_000;

/// Interprets visits and appends their clicks.
pub struct Recorder {
    interpreter: Interpreter,
    log: Arc<Log>,
    humans: Counter,
    bots: Counter,
    lost: Counter,
    waiting: Waiting,
    complained_at_ms: AtomicU64,
}

/// Why a click is not in the log.
enum Unlogged {
    /// There is no room; it waits in memory.
    Waits,
    /// It is lost.
    Lost(LogError),
}

impl Recorder {
    /// Into this log.
    pub fn new(interpreter: Interpreter, log: Arc<Log>) -> Self {
        Self {
            interpreter,
            log,
            humans: metrics::counter!("slugline_redirects_total", "visitor" => "human"),
            bots: metrics::counter!("slugline_redirects_total", "visitor" => "bot"),
            lost: metrics::counter!("slugline_clicks_lost_total"),
            waiting: Waiting::default(),
            complained_at_ms: AtomicU64::new(0),
        }
    }

    /// How many records wait in memory for room on the disk.
    pub fn waiting(&self) -> u64 {
        self.waiting.len()
    }

    /// What interprets: for the reload of its data files.
    pub const fn interpreter(&self) -> &Interpreter {
        &self.interpreter
    }

    /// Has the visit's click with the operating system when it returns. While the disk is full
    /// it waits in memory instead, up to a bound. Where the log can't take it at all, the click
    /// is lost and counted as such. The visitor gets his answer in any case.
    pub fn record(&self, visit: &Visit<'_>, target: &ClickTarget) {
        let interpreted = self.interpreter.interpret(visit, target);
        let appended = interpreted.append_with(|seen, parts| {
            let click = NewRecord { kind: kind::CLICK, version: VERSION, parts: &parts };
            match seen {
                None => self.append(&[click]),
                Some(seen) => {
                    let parts = &[seen];
                    let seen = NewRecord { kind: kind::AGENT_SEEN, version: VERSION, parts };
                    self.append(&[seen, click])
                }
            }
        });
        match interpreted.bot() {
            BotReason::Human => self.humans.increment(1),
            _ => self.bots.increment(1),
        }
        if let Err(Unlogged::Lost(error)) = appended {
            self.complain(&error, visit.at_ms);
        }
    }

    fn append(&self, records: &[NewRecord<'_>]) -> Result<(), Unlogged> {
        match self.log.append(records) {
            Ok(_) => Ok(()),
            Err(error) if error.is_full() && self.waiting.keep(records) => Err(Unlogged::Waits),
            Err(error) => Err(Unlogged::Lost(error)),
        }
    }

    fn complain(&self, error: &LogError, now_ms: u64) {
        self.lost.increment(1);
        let before = self.complained_at_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(before) >= COMPLAIN_EVERY_MS {
            self.complained_at_ms.store(now_ms, Ordering::Relaxed);
            tracing::error!(
                error = error as &dyn std::error::Error,
                "clicks can't be logged and are lost; redirects go on"
            );
        }
    }
}

/// The thread that syncs the click log, and turns the visitors' key when its time has come.
pub struct Syncer {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Syncer {
    /// Syncs at least every `interval`.
    pub fn start(recorder: Arc<Recorder>, interval: Duration) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread =
            std::thread::Builder::new().name("clicks-sync".to_owned()).spawn(move || {
                let mut is_last = false;
                while !is_last {
                    is_last = stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout);
                    recorder.sync();
                }
            })?;
        Ok(Self { stop, thread })
    }

    /// Syncs once more and ends.
    pub fn stop(self) {
        drop(self.stop);
        let _panicked = self.thread.join();
    }
}

impl Recorder {
    fn sync(&self) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now_ms = now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
        self.interpreter.visitors.turn_if_due(now_ms);
        self.append_waiting(now_ms);
        if self.log.synced() == self.log.end() {
            return;
        }
        let started = Instant::now();
        match self.log.sync() {
            Ok(_) => {
                metrics::histogram!("slugline_log_sync_seconds", "log" => "clicks")
                    .record(started.elapsed());
            }
            Err(error) => self.complain_of_sync(&error, now_ms),
        }
    }

    /// Has what waits in the log as soon as there is room.
    fn append_waiting(&self, now_ms: u64) {
        let waited = self.waiting.len();
        if let Err(error) = self.waiting.append_to(&self.log) {
            let before = self.complained_at_ms.load(Ordering::Relaxed);
            if now_ms.saturating_sub(before) >= COMPLAIN_EVERY_MS {
                self.complained_at_ms.store(now_ms, Ordering::Relaxed);
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    waiting = self.waiting.len(),
                    "clicks can't be logged and wait in memory; redirects go on"
                );
            }
        } else if waited > 0 {
            tracing::info!(records = waited, "the clicks that waited in memory are logged");
        }
    }

    fn complain_of_sync(&self, error: &LogError, now_ms: u64) {
        let before = self.complained_at_ms.swap(now_ms, Ordering::Relaxed);
        if now_ms.saturating_sub(before) >= COMPLAIN_EVERY_MS {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "the click log can't be synced"
            );
        }
    }
}
