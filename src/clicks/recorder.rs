//! The recorder: visits in, click records out, and the thread that syncs them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use metrics::Counter;

use super::waiting::Waiting;
use super::{Admission, ClickGroup, Interpreted, Interpreter, Limits, Seen, Visit};
use crate::domain::click::{BotReason, ClickTarget};
use crate::domain::ids::LinkId;
use crate::domain::link::{Block, ClickLimit, Link};
use crate::log::{Log, LogError};

/// How often at most it is said that clicks are lost.
const COMPLAIN_EVERY_MS: u64 = 10_000;

/// Interprets visits and appends their clicks.
pub struct Recorder {
    interpreter: Interpreter,
    log: Arc<Log>,
    humans: Counter,
    bots: Counter,
    lost: Counter,
    blocked: Counter,
    waiting: Waiting,
    limits: Limits,
    /// Who was seen before, where a rule asks.
    pub seen: Seen,
    complained_at_ms: AtomicU64,
}

/// Why clicks are not in the log.
enum Unlogged {
    /// There is no room; they wait in memory.
    Waits,
    /// They are lost.
    Lost(LogError),
}

impl Recorder {
    /// Into this log.
    pub fn new(interpreter: Interpreter, log: Arc<Log>, limits: Limits) -> Self {
        Self {
            interpreter,
            log,
            humans: metrics::counter!("slugline_redirects_total", "visitor" => "human"),
            bots: metrics::counter!("slugline_redirects_total", "visitor" => "bot"),
            lost: metrics::counter!("slugline_clicks_lost_total"),
            blocked: metrics::counter!("slugline_visits_blocked_total"),
            waiting: Waiting::default(),
            limits,
            seen: Seen::default(),
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

    /// Has the group's clicks with the operating system when it returns, and the group is empty.
    /// While the disk is full they wait in memory instead, up to a bound. Where the log can't
    /// take them at all, they are lost and counted as such. The visitors get their answers in any
    /// case.
    pub fn append(&self, group: &mut ClickGroup, now_ms: u64) {
        let clicks = group.clicks();
        if group.is_empty() {
            return;
        }
        let (humans, bots) = group.kinds();
        let appended = group.append_with(|records| match self.log.append(records) {
            Ok(_) => Ok(()),
            Err(error) if error.is_full() && self.waiting.keep(records) => Err(Unlogged::Waits),
            Err(error) => Err(Unlogged::Lost(error)),
        });
        self.humans.increment(humans);
        self.bots.increment(bots);
        if let Err(Unlogged::Lost(error)) = appended {
            self.lost.increment(clicks);
            self.complain(&error, now_ms);
        }
    }

    /// The same of one click, by itself.
    pub fn record(&self, visit: &Visit<'_>, target: &ClickTarget) {
        let geo = self.interpreter.geo.load();
        let interpreted = self.interpreter.interpret(visit, &target.workspace, geo.as_deref());
        let mut group = ClickGroup::default();
        group.push(&interpreted, target);
        self.append(&mut group, visit.at_ms);
    }

    /// The same where the link lets only so many through. `false` where none is left.
    pub fn record_limited(
        &self,
        visit: &Visit<'_>,
        target: &ClickTarget,
        link: LinkId,
        limit: &ClickLimit,
    ) -> bool {
        let geo = self.interpreter.geo.load();
        let interpreted = self.interpreter.interpret(visit, &target.workspace, geo.as_deref());
        self.admit(link, limit, &interpreted, target)
    }

    /// The same of a visit of a link that lets only so many clicks through: its click is in the
    /// log before another visit of the link is decided. `false` where none is left.
    pub fn admit(
        &self,
        link: LinkId,
        limit: &ClickLimit,
        interpreted: &Interpreted<'_>,
        target: &ClickTarget,
    ) -> bool {
        let is_counted = limit.counts_bots || interpreted.bot() == BotReason::Human;
        let admitted = self.limits.admit(link, limit, is_counted, |nth| {
            let mut group = ClickGroup::default();
            match nth {
                Some(nth) => group.push_limited(interpreted, target, limit, nth),
                None => group.push(interpreted, target),
            }
            self.append(&mut group, interpreted.at_ms());
        });
        admitted == Admission::Through(())
    }

    /// Has a visit that a gate stopped in the log. It counts as nothing else.
    pub fn record_blocked(&self, visit: &Visit<'_>, target: &ClickTarget, block: Block) {
        let geo = self.interpreter.geo.load();
        let interpreted = self.interpreter.interpret(visit, &target.workspace, geo.as_deref());
        let mut group = ClickGroup::default();
        group.push_blocked(&interpreted, target, block);
        self.append(&mut group, visit.at_ms);
        self.blocked.increment(1);
    }

    /// Whether a link has let all clicks through that it lets through.
    pub fn is_used_up(&self, link: &Link) -> bool {
        let limit = link.fields.gates.limit.as_ref();
        limit.is_some_and(|limit| self.limits.used(link.id, limit) >= limit.max)
    }

    fn complain(&self, error: &LogError, now_ms: u64) {
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
        if let Err(error) = self.limits.save_if_due(&self.log) {
            self.complain_of_sync(&error, now_ms);
        }
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

    fn complain_of_sync(&self, error: &(dyn std::error::Error + 'static), now_ms: u64) {
        let before = self.complained_at_ms.swap(now_ms, Ordering::Relaxed);
        if now_ms.saturating_sub(before) >= COMPLAIN_EVERY_MS {
            tracing::error!(error, "the click log can't be synced");
        }
    }
}
