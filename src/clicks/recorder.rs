//! The recorder: visits in, click records out, and the threads that sync them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use metrics::Counter;

use super::overflow_buffer::OverflowBuffer;
use super::{
    Admission, ClickBatch, ClickCaps, EnrichedVisit, Enricher, Pacing, ReturningVisitors, Visit,
};
use crate::domain::click::{BotReason, ClickTarget};
use crate::domain::ids::LinkId;
use crate::domain::link::{Block, ClickLimit, Link};
use crate::log::{Log, LogError};

/// How often at most the same problem is logged.
const COMPLAIN_EVERY_MS: u64 = 10_000;
/// How often it is checked whether the counts of limits are to be saved.
const LIMITS_INTERVAL: Duration = Duration::from_secs(1);

/// Interprets visits and appends their clicks.
pub struct Recorder {
    enricher: Enricher,
    log: Arc<Log>,
    humans: Counter,
    bots: Counter,
    lost: Counter,
    blocked: Counter,
    waiting: OverflowBuffer,
    limits: ClickCaps,
    /// Who was seen before, where a rule asks.
    pub seen: ReturningVisitors,
    /// How long redirect threads pause while the analytics lag.
    pub pacing: Pacing,
    lost_messages: Throttle,
    waiting_messages: Throttle,
    sync_messages: Throttle,
}

/// A problem that lasts, to be logged now and then.
#[derive(Default)]
struct Throttle {
    /// 0 before the first time.
    logged_at_ms: AtomicU64,
}

impl Throttle {
    /// Whether to log it now. `true` at most once in [`COMPLAIN_EVERY_MS`].
    fn is_due(&self, now_ms: u64) -> bool {
        let last = self.logged_at_ms.load(Ordering::Relaxed);
        let is_due = last == 0 || now_ms.abs_diff(last) >= COMPLAIN_EVERY_MS;
        let (order, failed) = (Ordering::Relaxed, Ordering::Relaxed);
        is_due && self.logged_at_ms.compare_exchange(last, now_ms, order, failed).is_ok()
    }
}

/// What a link's `max_clicks` says to a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// It goes through.
    Through,
    /// It doesn't count towards the limit, for this reason, and so must not learn where the link
    /// leads: a limit that some can pass for free limits nothing.
    Uncounted(BotReason),
    /// All clicks were used.
    UsedUp,
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
    pub fn new(enricher: Enricher, log: Arc<Log>, limits: ClickCaps) -> Self {
        Self {
            enricher,
            log,
            humans: metrics::counter!("slugline_redirects_total", "visitor" => "human"),
            bots: metrics::counter!("slugline_redirects_total", "visitor" => "bot"),
            lost: metrics::counter!("slugline_clicks_lost_total"),
            blocked: metrics::counter!("slugline_visits_blocked_total"),
            waiting: OverflowBuffer::default(),
            limits,
            seen: ReturningVisitors::default(),
            pacing: Pacing::default(),
            lost_messages: Throttle::default(),
            waiting_messages: Throttle::default(),
            sync_messages: Throttle::default(),
        }
    }

    /// How many records wait in memory for room on the disk.
    pub fn waiting(&self) -> u64 {
        self.waiting.len()
    }

    /// What interprets: for the reload of its data files.
    pub const fn enricher(&self) -> &Enricher {
        &self.enricher
    }

    /// Has the group's clicks with the operating system when it returns, and the group is empty.
    /// While the disk is full they wait in memory instead, up to a bound. Where the log can't
    /// take them at all, they are lost and counted as such. The visitors get their answers in any
    /// case.
    pub fn append(&self, group: &mut ClickBatch, now_ms: u64) {
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
        let geo = self.enricher.geo.load();
        let enriched = self.enricher.enrich(visit, &target.workspace, geo.as_deref());
        let mut group = ClickBatch::default();
        group.push(&enriched, target);
        self.append(&mut group, visit.at_ms);
    }

    /// The same where the link lets only so many through.
    pub fn record_limited(
        &self,
        visit: &Visit<'_>,
        target: &ClickTarget,
        link: LinkId,
        limit: &ClickLimit,
    ) -> Admitted {
        let geo = self.enricher.geo.load();
        let enriched = self.enricher.enrich(visit, &target.workspace, geo.as_deref());
        self.admit(link, limit, &enriched, target)
    }

    /// The same of a visit of a link that lets only so many clicks through: its click is in the
    /// log before another visit of the link is decided.
    pub fn admit(
        &self,
        link: LinkId,
        limit: &ClickLimit,
        enriched: &EnrichedVisit<'_>,
        target: &ClickTarget,
    ) -> Admitted {
        let is_counted = limit.counts_bots || enriched.bot() == BotReason::Human;
        let admitted = self.limits.admit(link, limit, is_counted, |nth| {
            let mut group = ClickBatch::default();
            match nth {
                Some(nth) => group.push_limited(enriched, target, limit, nth),
                None => group.push(enriched, target),
            }
            self.append(&mut group, enriched.at_ms());
        });
        match admitted {
            Admission::UsedUp => Admitted::UsedUp,
            Admission::Through(()) if is_counted => Admitted::Through,
            Admission::Through(()) => Admitted::Uncounted(enriched.bot()),
        }
    }

    /// Has a visit that a gate stopped in the log. It counts as nothing else.
    pub fn record_blocked(&self, visit: &Visit<'_>, target: &ClickTarget, block: Block) {
        let geo = self.enricher.geo.load();
        let enriched = self.enricher.enrich(visit, &target.workspace, geo.as_deref());
        let mut group = ClickBatch::default();
        group.push_blocked(&enriched, target, block);
        self.append(&mut group, visit.at_ms);
        self.blocked.increment(1);
    }

    /// Whether a link has let all clicks through that it lets through.
    pub fn is_used_up(&self, link: &Link) -> bool {
        let limit = link.fields.gates.limit.as_ref();
        limit.is_some_and(|limit| self.limits.used(link.id, limit) >= limit.max)
    }

    fn complain(&self, error: &LogError, now_ms: u64) {
        if self.lost_messages.is_due(now_ms) {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "clicks can't be logged and are lost; redirects go on"
            );
        }
    }
}

/// A thread that does something for the recorder, again and again.
pub struct Syncer {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Syncer {
    /// Syncs the click log at least every `interval`, and turns the visitors' key when its time
    /// has come.
    pub fn start(recorder: Arc<Recorder>, interval: Duration) -> std::io::Result<Self> {
        Self::repeat("clicks-sync", interval, move |_| recorder.sync())
    }

    /// Saves the counts of limits now and then, without those that are not needed. On a thread of
    /// its own, because clicks must be synced meanwhile.
    pub fn start_saving_limits(
        recorder: Arc<Recorder>,
        is_needed: impl Fn(LinkId) -> bool + Send + 'static,
    ) -> std::io::Result<Self> {
        Self::repeat("clicks-limits", LIMITS_INTERVAL, move |is_last| {
            recorder.limits.prune(&is_needed);
            if let Err(error) = recorder.limits.save_if_due(&recorder.log, is_last) {
                recorder.complain_of_sync(&error, now_ms());
            }
        })
    }

    /// The work is told whether it is done for the last time.
    fn repeat(
        name: &str,
        interval: Duration,
        work: impl Fn(bool) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut is_last = false;
            while !is_last {
                is_last = stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout);
                work(is_last);
            }
        })?;
        Ok(Self { stop, thread })
    }

    /// Works once more and ends.
    pub fn stop(self) {
        drop(self.stop);
        let _panicked = self.thread.join();
    }
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

impl Recorder {
    fn sync(&self) {
        let now_ms = now_ms();
        self.enricher.visitors.turn_if_due(now_ms);
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
            if self.waiting_messages.is_due(now_ms) {
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
        if self.sync_messages.is_due(now_ms) {
            tracing::error!(error, "the click log or the counts of limits can't be synced");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_that_lasts_is_logged_again_and_again() {
        let throttle = Throttle::default();
        let start = 1_700_000_000_000;
        let logged = (start..start + 45_000).step_by(100).filter(|now| throttle.is_due(*now));
        let logged: Vec<_> = logged.map(|now| now - start).collect();
        assert_eq!(logged, [0, 10_000, 20_000, 30_000, 40_000]);
        // A clock that was set back silences nothing for long.
        assert!(throttle.is_due(start - 60_000));
    }
}
