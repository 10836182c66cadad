//! The latency from the append of a click until it is readable in ClickHouse.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;
use slugline::clicks::Recorder;
use slugline::log::Log;

use crate::clicks::{Visitors, open_log};
use crate::engine::ClickHouse;
use crate::projector::Following;

/// The default of `clicks.sync_interval`.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The measured lag.
#[derive(Debug, Serialize)]
pub struct Lag {
    pub clicks: u64,
    /// The number of clicks appended per second.
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

/// The click at an offset was appended at this moment.
struct Appended {
    offset: u64,
    at: Instant,
}

/// All up to an offset could be read at this moment.
struct Readable {
    through: u64,
    at: Instant,
}

/// Appends clicks at a steady rate, however far the projection is, and watches when they come.
pub fn measure(
    clickhouse: &ClickHouse,
    visitors: &Visitors,
    per_second: u32,
    span: Duration,
) -> anyhow::Result<Lag> {
    let folder = tempfile::tempdir_in(&clickhouse.folder)?;
    let (log, recorder) = open_log(folder.path())?;
    let syncer = recorder.start_syncing(SYNC_INTERVAL)?;
    let following = Following::start(clickhouse, Arc::clone(&log))?;
    let is_appended = AtomicBool::new(false);
    let started = Instant::now();
    let (appended, readable) = thread::scope(|scope| {
        let appender = scope.spawn(|| {
            let appended = append(&*log, &recorder, visitors, per_second, span);
            is_appended.store(true, Ordering::Release);
            appended
        });
        let status = &following.reading.status;
        let readable = watch(&*log, &is_appended, || status.applied());
        (appender.join(), readable)
    });
    syncer.stop();
    following.stop()?;
    let appended = appended.map_err(|_| anyhow::anyhow!("the appender panicked"))?;
    lag(started, &appended, &readable?)
}

/// Each click has its moment, and is appended then or as soon after as may be.
fn append(
    log: &dyn Log,
    recorder: &Recorder,
    visitors: &Visitors,
    per_second: u32,
    span: Duration,
) -> Vec<Appended> {
    let total = u64::from(per_second) * span.as_secs();
    let mut appended = Vec::with_capacity(usize::try_from(total).unwrap_or_default());
    let started = Instant::now();
    let mut number = 0;
    while number < total {
        let due = started.elapsed().as_micros() * u128::from(per_second) / 1_000_000;
        while u128::from(number) < due && number < total {
            let at = Instant::now();
            let now_ms = jiff::Timestamp::now().as_millisecond().cast_unsigned();
            visitors.click(recorder, number, now_ms);
            appended.push(Appended { offset: log.end(), at });
            number += 1;
        }
        thread::sleep(Duration::from_millis(1));
    }
    appended
}

/// Notes how far the projection is until it has all.
fn watch(
    log: &dyn Log,
    is_appended: &AtomicBool,
    applied: impl Fn() -> u64,
) -> anyhow::Result<Vec<Readable>> {
    const STALL_LIMIT: Duration = Duration::from_secs(60);
    let mut readable: Vec<Readable> = Vec::new();
    let mut moved = Instant::now();
    loop {
        // In this order: what is appended afterwards is not missed.
        let is_last = is_appended.load(Ordering::Acquire);
        let (through, at) = (applied(), Instant::now());
        if readable.last().is_none_or(|last| last.through < through) {
            readable.push(Readable { through, at });
            moved = at;
        }
        if is_last && through >= log.end() {
            return Ok(readable);
        }
        anyhow::ensure!(moved.elapsed() < STALL_LIMIT, "the projection stands still");
        thread::sleep(LOOK_EVERY);
    }
}

fn lag(started: Instant, appended: &[Appended], readable: &[Readable]) -> anyhow::Result<Lag> {
    let mut microseconds = Histogram::<u64>::new(3)?;
    let mut seen = readable.iter().peekable();
    for Appended { offset, at } in appended {
        while seen.next_if(|seen| seen.through < *offset).is_some() {}
        let Some(seen) = seen.peek() else { anyhow::bail!("a click was never readable") };
        microseconds.record(u64::try_from((seen.at - *at).as_micros())?)?;
    }
    let last = appended.last().map_or(Duration::ZERO, |last| last.at - started);
    #[expect(clippy::cast_precision_loss, reason = "far below 2⁵²")]
    let as_f64 = |number: u64| number as f64;
    let at = |share| as_f64(microseconds.value_at_quantile(share)) / 1_000.0;
    Ok(Lag {
        clicks: microseconds.len(),
        per_second: as_f64(microseconds.len()) / last.as_secs_f64(),
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        max_ms: as_f64(microseconds.max()) / 1_000.0,
    })
}
