//! The schedule of an open-loop load, and its timer thread.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::Notify;

/// The times at which requests are due, counted from the start of the phase.
///
/// They arrive as the visits of independent people do, by a Poisson process, at random and
/// without regard to how the server is getting on. The connections take them in turn.
#[derive(Debug)]
pub struct Schedule {
    due: Vec<Duration>,
}

impl Schedule {
    /// Generates the schedule of a phase with `rate` requests per second.
    pub fn poisson(rate: f64, phase: Duration, seed: u64) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut due = Vec::new();
        let mut at = 0.0;
        loop {
            let uniform: f64 = random.random();
            at -= (1.0 - uniform).ln() / rate;
            if at >= phase.as_secs_f64() {
                return Self { due };
            }
            due.push(Duration::from_secs_f64(at));
        }
    }

    /// The requests that connection `lane` of `lanes` sends: their numbers and when they are due.
    pub fn lane(&self, lane: usize, lanes: usize) -> impl Iterator<Item = (usize, Duration)> {
        let times = self.due.iter().copied().enumerate();
        times.skip(lane).step_by(lanes)
    }

    /// Wakes each connection when its next request is due, from a thread of its own: tokio's
    /// timer counts in milliseconds, a sleeping thread is late by some 60 µs.
    pub fn pace(self: Arc<Self>, start: Instant, lanes: Vec<Arc<Notify>>) -> std::io::Result<()> {
        thread::Builder::new().name("pace".to_owned()).spawn(move || {
            for (due, lane) in self.due.iter().zip(lanes.iter().cycle()) {
                let due = start + *due;
                loop {
                    let early = due.saturating_duration_since(Instant::now());
                    if early.is_zero() {
                        break;
                    }
                    thread::sleep(early);
                }
                lane.notify_one();
            }
        })?;
        Ok(())
    }
}
