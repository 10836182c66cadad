//! The recorder: visits in, click records out, and the thread that syncs them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use metrics::Counter;

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
    complained_at_ms: AtomicU64,
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
            complained_at_ms: AtomicU64::new(0),
        }
    }

    /// What interprets: for the reload of its data files.
    pub const fn interpreter(&self) -> &Interpreter {
        &self.interpreter
    }

    /// Has the visit's click with the operating system when it returns. Where the log can't take
    /// it, the click is lost, counted as such, and the visitor gets his answer all the same.
    pub fn record(&self, visit: &Visit<'_>, target: &ClickTarget) {
        let interpreted = self.interpreter.interpret(visit, target);
        let appended = interpreted.append_with(|seen, parts| {
            let click = NewRecord { kind: kind::CLICK, version: VERSION, parts: &parts };
            match seen {
                None => self.log.append(&[click]),
                Some(seen) => {
                    let parts = &[seen];
                    let seen = NewRecord { kind: kind::AGENT_SEEN, version: VERSION, parts };
                    self.log.append(&[seen, click])
                }
            }
        });
        match interpreted.bot() {
            BotReason::Human => self.humans.increment(1),
            _ => self.bots.increment(1),
        }
        if let Err(error) = appended {
            self.complain(&error, visit.at_ms);
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
