//! The recorder: appends the clicks of visits to the log, and syncs them in the background.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use metrics::Counter;

use super::overflow_buffer::OverflowBuffer;
use super::{
    Admission, ClickBatch, ClickCaps, EnrichedVisit, Enricher, Pacing, ReturningVisitors, Visit,
};
use crate::domain::click::{BotReason, ClickTarget};
use crate::domain::ids::LinkId;
use crate::domain::link::{Block, ClickLimit, Link};
use crate::log::{Log, LogError, Schedule, Worker};
use crate::metrics::{CLICKS_LOST, LOG_SYNC_SECONDS, REDIRECTS, VISITS_BLOCKED};

/// Minimum time between two log lines about the same problem.
const LOG_INTERVAL_MS: u64 = 10_000;
/// How often to check whether the click counts are due to be saved.
const CAPS_INTERVAL: Duration = Duration::from_secs(1);

/// Enriches visits and appends their clicks to the log.
pub struct Recorder {
    /// The enricher, to reload its data files.
    pub enricher: Enricher,
    log: Arc<dyn Log>,
    humans: Counter,
    bots: Counter,
    lost: Counter,
    blocked: Counter,
    overflow: OverflowBuffer,
    caps: ClickCaps,
    /// Known visitors, for rules with a `returning` condition.
    pub seen: ReturningVisitors,
    /// How long redirect threads pause while the analytics lag.
    pub pacing: Pacing,
    lost_messages: LogThrottle,
    waiting_messages: LogThrottle,
    sync_messages: LogThrottle,
}

/// Rate limit of the log lines about a lasting problem.
#[derive(Default)]
struct LogThrottle {
    /// 0 before the first log line.
    logged_at_ms: AtomicU64,
}

impl LogThrottle {
    /// Whether to log now: at most once per [`LOG_INTERVAL_MS`].
    fn is_due(&self, now_ms: u64) -> bool {
        let last = self.logged_at_ms.load(Ordering::Relaxed);
        let is_due = last == 0 || now_ms.abs_diff(last) >= LOG_INTERVAL_MS;
        let (order, failed) = (Ordering::Relaxed, Ordering::Relaxed);
        is_due && self.logged_at_ms.compare_exchange(last, now_ms, order, failed).is_ok()
    }
}

/// The decision of a link's `max_clicks` on a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// The visitor is redirected.
    Through,
    /// The visit does not count towards the limit for this reason, so the destination is withheld:
    /// otherwise bots could bypass the limit.
    Uncounted(BotReason),
    /// The limit is reached.
    UsedUp,
}

/// Why clicks were not appended.
enum AppendFailure {
    /// The disk is full; they are buffered in memory.
    Buffered,
    /// They are lost.
    Lost(LogError),
}

impl Recorder {
    /// Creates a recorder for a log.
    pub fn new(enricher: Enricher, log: Arc<dyn Log>, caps: ClickCaps) -> Self {
        Self {
            enricher,
            log,
            humans: metrics::counter!(REDIRECTS, "visitor" => "human"),
            bots: metrics::counter!(REDIRECTS, "visitor" => "bot"),
            lost: metrics::counter!(CLICKS_LOST),
            blocked: metrics::counter!(VISITS_BLOCKED),
            overflow: OverflowBuffer::default(),
            caps,
            seen: ReturningVisitors::default(),
            pacing: Pacing::default(),
            lost_messages: LogThrottle::default(),
            waiting_messages: LogThrottle::default(),
            sync_messages: LogThrottle::default(),
        }
    }

    /// Number of records in the overflow buffer.
    pub fn waiting(&self) -> u64 {
        self.overflow.len()
    }

    /// Writes the batch to the log and clears it. While the disk is full, clicks go into the
    /// overflow buffer. Clicks that can be neither logged nor buffered are counted as lost.
    /// Visitors are redirected in any case.
    pub fn append(&self, batch: &mut ClickBatch, now_ms: u64) {
        let clicks = batch.clicks();
        if batch.is_empty() {
            return;
        }
        let (humans, bots) = batch.kinds();
        let appended = batch.append_with(|records| match self.log.append(records) {
            Ok(_) => Ok(()),
            Err(error) if error.is_full() && self.overflow.push(records) => {
                Err(AppendFailure::Buffered)
            }
            Err(error) => Err(AppendFailure::Lost(error)),
        });
        self.humans.increment(humans);
        self.bots.increment(bots);
        if let Err(AppendFailure::Lost(error)) = appended {
            self.lost.increment(clicks);
            self.log_lost_clicks(&error, now_ms);
        }
    }

    /// Enriches a visit and appends its click.
    pub fn record(&self, visit: &Visit<'_>, target: &ClickTarget) {
        let geo = self.enricher.geo.load();
        let enriched = self.enricher.enrich(visit, &target.workspace, geo.as_deref());
        let mut batch = ClickBatch::default();
        batch.push(&enriched, target);
        self.append(&mut batch, visit.at_ms);
    }

    /// Like [`Self::record`], for a link with a click limit.
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

    /// Decides on a visit of a link with a click limit. Its click is in the log before another visit
    /// of the link is decided.
    pub fn admit(
        &self,
        link: LinkId,
        limit: &ClickLimit,
        enriched: &EnrichedVisit<'_>,
        target: &ClickTarget,
    ) -> Admitted {
        let is_counted = limit.counts_bots || enriched.bot() == BotReason::Human;
        let admitted = self.caps.admit(link, limit, is_counted, |nth| {
            let mut batch = ClickBatch::default();
            match nth {
                Some(nth) => batch.push_limited(enriched, target, limit, nth),
                None => batch.push(enriched, target),
            }
            self.append(&mut batch, enriched.at_ms);
        });
        match admitted {
            Admission::UsedUp => Admitted::UsedUp,
            Admission::Through(()) if is_counted => Admitted::Through,
            Admission::Through(()) => Admitted::Uncounted(enriched.bot()),
        }
    }

    /// Appends a blocked visit, which does not count as a click.
    pub fn record_blocked(&self, visit: &Visit<'_>, target: &ClickTarget, block: Block) {
        let geo = self.enricher.geo.load();
        let enriched = self.enricher.enrich(visit, &target.workspace, geo.as_deref());
        let mut batch = ClickBatch::default();
        batch.push_blocked(&enriched, target, block);
        self.append(&mut batch, visit.at_ms);
        self.blocked.increment(1);
    }

    /// Whether a link has reached its click limit.
    pub fn is_used_up(&self, link: &Link) -> bool {
        let limit = link.fields.gates.limit.as_ref();
        limit.is_some_and(|limit| self.caps.used(link.id, limit) >= limit.max)
    }

    fn log_lost_clicks(&self, error: &LogError, now_ms: u64) {
        if self.lost_messages.is_due(now_ms) {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "writing clicks to the log failed: they are lost; redirects continue"
            );
        }
    }
}

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

impl Recorder {
    /// Syncs the click log every `interval`, and rotates the key of the visitor ids when it is due.
    pub fn start_syncing(self: &Arc<Self>, interval: Duration) -> std::io::Result<Worker> {
        let recorder = Arc::clone(self);
        // While the disk is full, buffered clicks are retried at the same interval.
        Worker::start("clicks-sync", Schedule::every(interval), move |_| {
            recorder.sync();
            Ok::<_, Infallible>(())
        })
    }

    /// Periodically prunes and saves the click counts, on a thread of its own so that syncs are not
    /// delayed.
    pub fn start_saving_caps(
        self: &Arc<Self>,
        is_needed: impl Fn(LinkId) -> bool + Send + 'static,
    ) -> std::io::Result<Worker> {
        let recorder = Arc::clone(self);
        Worker::start("clicks-caps", Schedule::every(CAPS_INTERVAL), move |stop| {
            recorder.caps.prune(&is_needed);
            recorder.caps.save_if_due(stop.is_set())
        })
    }

    fn sync(&self) {
        let now_ms = now_ms();
        self.enricher.visitors.rotate_if_due(now_ms);
        self.append_buffered(now_ms);
        if self.log.synced() == self.log.end() {
            return;
        }
        let started = Instant::now();
        match self.log.sync() {
            Ok(_) => {
                metrics::histogram!(LOG_SYNC_SECONDS, "log" => "clicks").record(started.elapsed());
            }
            Err(error) if self.sync_messages.is_due(now_ms) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "syncing the click log failed"
                );
            }
            Err(_) => {}
        }
    }

    /// Writes the overflow buffer to the log, if the disk has space again.
    fn append_buffered(&self, now_ms: u64) {
        let buffered = self.overflow.len();
        if let Err(error) = self.overflow.append_to(&*self.log) {
            if self.waiting_messages.is_due(now_ms) {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    waiting = self.overflow.len(),
                    "writing clicks to the log failed: they are buffered in memory; redirects continue"
                );
            }
        } else if buffered > 0 {
            tracing::info!(records = buffered, "wrote the buffered clicks to the log");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lasting_problem_is_logged_periodically() {
        let throttle = LogThrottle::default();
        let start = 1_700_000_000_000;
        let logged = (start..start + 45_000).step_by(100).filter(|now| throttle.is_due(*now));
        let logged: Vec<_> = logged.map(|now| now - start).collect();
        assert_eq!(logged, [0, 10_000, 20_000, 30_000, 40_000]);
        // Setting the clock back does not silence it for long.
        assert!(throttle.is_due(start - 60_000));
    }
}
