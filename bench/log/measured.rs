//! The number of operations in an interval, and their latencies.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// One measurement, or several taken together.
pub struct Measured {
    took: Duration,
    /// The latencies, in nanoseconds.
    pub nanoseconds: Histogram<u64>,
}

/// A measurement under way.
pub struct Stopwatch {
    started: Instant,
    nanoseconds: Histogram<u64>,
}

impl Stopwatch {
    pub fn start() -> Self {
        Self { started: Instant::now(), nanoseconds: empty() }
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Notes that it was done once.
    pub fn note(&mut self, took: Duration) {
        note(&mut self.nanoseconds, took);
    }

    /// Adds what others have noted since the start.
    pub fn add(&mut self, noted: &Histogram<u64>) {
        add(&mut self.nanoseconds, noted);
    }

    pub fn stop(self) -> Measured {
        Measured { took: self.started.elapsed(), nanoseconds: self.nanoseconds }
    }
}

impl Measured {
    /// Nothing yet.
    pub fn nothing() -> Self {
        Self { took: Duration::ZERO, nanoseconds: empty() }
    }

    /// Adds another measurement of the same.
    pub fn add(&mut self, other: &Self) {
        self.took += other.took;
        add(&mut self.nanoseconds, &other.nanoseconds);
    }

    /// Operations per second.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2⁵²")]
    pub fn per_second(&self) -> f64 {
        self.nanoseconds.len() as f64 / self.took.as_secs_f64()
    }

    /// The time that this share of the times (0 to 1) stays below, in microseconds.
    #[expect(clippy::cast_precision_loss, reason = "times far below 2⁵² ns")]
    pub fn quantile_us(&self, share: f64) -> f64 {
        self.nanoseconds.value_at_quantile(share) as f64 / 1_000.0
    }
}

/// Takes times of any length, to a thousandth.
pub fn empty() -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3)
        .unwrap_or_else(|error| unreachable!("fixed bounds: {error}"));
    histogram.auto(true);
    histogram
}

/// Notes one time.
pub fn note(histogram: &mut Histogram<u64>, took: Duration) {
    histogram.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
}

fn add(histogram: &mut Histogram<u64>, other: &Histogram<u64>) {
    // It only fails where a histogram may not grow; these may.
    let _ = histogram.add(other);
}
