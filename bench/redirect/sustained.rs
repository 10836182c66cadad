//! Monitors a sustained load at saturation: the lag of the analytics, slugline's memory, and
//! whether changes and queries still succeed.
//!
//! The lag is measured from outside: at each look the log's end is noted beside the offset that
//! is projected. A look whose end was projected by now lies as far back as the lag is long, to
//! within [`LOOK_EVERY`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::machine;
use crate::slugline::Api;
use crate::traffic::LinkKind;

const LOOK_EVERY: Duration = Duration::from_millis(250);
const CHANGE_EVERY: Duration = Duration::from_millis(200);
const QUESTION_EVERY: Duration = Duration::from_secs(1);
/// The maximum lag of the histogram; longer lags are recorded as this.
const MAX_LAG_MS: u64 = 3_600_000;

/// Measurements during the load.
#[derive(Debug, Clone, Serialize)]
pub struct Sustained {
    /// How far the analytics were behind, in milliseconds: half of the looks, 99 of 100, all.
    pub lag_ms_p50: u64,
    /// See [`Self::lag_ms_p50`].
    pub lag_ms_p99: u64,
    /// See [`Self::lag_ms_p50`].
    pub lag_ms_max: u64,
    /// Clicks that were not projected when the load ended.
    pub behind_at_end: u64,
    /// slugline's resident memory at the first look, in KiB.
    pub rss_kib_first: u64,
    /// The most that was seen.
    pub rss_kib_max: u64,
    /// Links changed.
    pub changes: Answered,
    /// Questions of analytics.
    pub questions: Answered,
}

/// The results of sequential requests.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Answered {
    /// Successful responses.
    pub ok: u64,
    /// Answered otherwise, or not at all.
    pub failed: u64,
    /// The longest answer, in milliseconds.
    pub slowest_ms: u64,
}

impl Answered {
    fn note(&mut self, name: &str, took: Duration, outcome: anyhow::Result<Value>) {
        match outcome {
            Ok(_) => self.ok += 1,
            Err(error) => {
                self.failed += 1;
                eprintln!("{name} failed: {error:#}");
            }
        }
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.slowest_ms = self.slowest_ms.max(took);
    }
}

#[derive(Debug)]
struct Seen {
    lag_ms: Histogram<u64>,
    /// The log's end at earlier looks, of those that were not projected yet and the last one
    /// that was.
    ends: VecDeque<(Instant, u64)>,
    behind: u64,
    rss_kib_first: u64,
    rss_kib_max: u64,
    changes: Answered,
    questions: Answered,
}

impl Seen {
    /// Notes that the log ends at `end`, of which everything up to `projected` is in ClickHouse.
    fn look(&mut self, now: Instant, end: u64, projected: u64) {
        self.ends.push_back((now, end));
        while self.ends.get(1).is_some_and(|(_, end)| *end <= projected) {
            self.ends.pop_front();
        }
        let since = self.ends.front().map_or(now, |(at, _)| *at);
        let lag = u64::try_from((now - since).as_millis()).unwrap_or(MAX_LAG_MS);
        self.lag_ms.saturating_record(lag);
        self.behind = end.saturating_sub(projected);
    }
}

/// The background work; it ends when dropped.
#[derive(Debug)]
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Polls slugline, changes a link five times a second, and sends a query each second.
    pub fn start(api: &Api, process: u32, links: u32) -> anyhow::Result<Self> {
        let seen = Arc::new(Mutex::new(Seen {
            lag_ms: Histogram::new_with_bounds(1, MAX_LAG_MS, 3)?,
            ends: VecDeque::new(),
            behind: 0,
            rss_kib_first: machine::memory(process)?.rss_kib,
            rss_kib_max: 0,
            changes: Answered::default(),
            questions: Answered::default(),
        }));
        let tasks = vec![
            tokio::spawn(look(api.clone(), process, Arc::clone(&seen))),
            tokio::spawn(change(api.clone(), links, Arc::clone(&seen))),
            tokio::spawn(ask(api.clone(), Arc::clone(&seen))),
        ];
        Ok(Self { seen, tasks })
    }

    /// The measurements so far.
    pub fn seen(&self) -> Sustained {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let lag = |quantile| seen.lag_ms.value_at_quantile(quantile);
        Sustained {
            lag_ms_p50: lag(0.5),
            lag_ms_p99: lag(0.99),
            lag_ms_max: seen.lag_ms.max(),
            behind_at_end: seen.behind,
            rss_kib_first: seen.rss_kib_first,
            rss_kib_max: seen.rss_kib_max,
            changes: seen.changes,
            questions: seen.questions,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn look(api: Api, process: u32, seen: Arc<Mutex<Seen>>) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    loop {
        every.tick().await;
        let Ok(report) = api.get("/readyz").await else { continue };
        let number = |name: &str| {
            report.pointer(&format!("/projections/clickhouse/{name}")).and_then(Value::as_u64)
        };
        let (Some(end), Some(projected)) = (number("log_end"), number("offset")) else { continue };
        let rss_kib = machine::memory(process).map_or(0, |memory| memory.rss_kib);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.look(Instant::now(), end, projected);
        seen.rss_kib_max = seen.rss_kib_max.max(rss_kib);
    }
}

async fn change(api: Api, links: u32, seen: Arc<Mutex<Seen>>) {
    let mut every = tokio::time::interval(CHANGE_EVERY);
    for number in 0_u32.. {
        every.tick().await;
        let slug = LinkKind::Plain.slug(number % links);
        let (begun, change) = (Instant::now(), json!({ "title": format!("change {number}") }));
        let outcome = api.patch(&format!("/api/v1/links/{slug}"), &change).await;
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.changes.note("a change", begun.elapsed(), outcome);
    }
}

async fn ask(api: Api, seen: Arc<Mutex<Seen>>) {
    let mut every = tokio::time::interval(QUESTION_EVERY);
    loop {
        every.tick().await;
        let begun = Instant::now();
        let outcome = api.get("/api/v1/analytics?unit=day&units=2&bots=include").await;
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.questions.note("a question", begun.elapsed(), outcome);
    }
}
