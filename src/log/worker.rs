//! Background threads.

use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The same as the engine's.
const LOWER: i32 = 10;
/// How often to check whether a thread has ended.
const STOP_POLL: Duration = Duration::from_millis(10);
/// The lowest that there is.
const LOWEST: i32 = 19;

/// Lowers the priority of this thread, so that redirects come first when the processors are
/// saturated.
pub fn lower_priority() {
    add_niceness(LOWER);
}

/// Gives this thread the lowest priority: for long computations that others cause.
pub fn lowest_priority() {
    add_niceness(LOWEST);
}

/// Linux sets the niceness per thread; elsewhere it would affect the whole process, so it is
/// unchanged.
fn add_niceness(niceness: i32) {
    #[cfg(not(target_os = "linux"))]
    let _unchanged = niceness;
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(niceness) {
        tracing::debug!(%error, "cannot lower the thread's priority");
    }
}

/// The delays between retries: each is twice the previous one, up to a maximum.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    next: Duration,
}

impl Default for Backoff {
    /// From 250 ms to 5 s.
    fn default() -> Self {
        Self::new(Duration::from_millis(250), Duration::from_secs(5))
    }
}

impl Backoff {
    /// Delays from `first` to `max`.
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, next: first }
    }

    /// The delay after a failure.
    pub fn next_delay(&mut self) -> Duration {
        let next = (self.next * 2).min(self.max);
        std::mem::replace(&mut self.next, next)
    }

    /// Starts over after a success.
    pub const fn reset(&mut self) {
        self.next = self.first;
    }
}

/// When and how a [`Worker`] runs.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// The pause after a successful run.
    pub interval: Duration,
    /// The pauses after failed runs.
    pub retry: Backoff,
    /// Whether redirects come first, see [`lower_priority`].
    pub is_low_priority: bool,
}

impl Schedule {
    /// At this interval, with the default retries and priority.
    pub fn every(interval: Duration) -> Self {
        Self { interval, retry: Backoff::default(), is_low_priority: false }
    }
}

/// Whether a worker is being stopped.
#[derive(Debug, Clone, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Whether the worker is being stopped: this is its last run, or should become it.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A thread that repeats its work until it is stopped.
pub struct Worker {
    stop: StopFlag,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts a thread that runs `work` at once, then on schedule, and once more when it is stopped.
    /// Failures are logged and retried.
    pub fn start<E: Display>(
        name: &'static str,
        schedule: Schedule,
        mut work: impl FnMut(&StopFlag) -> Result<(), E> + Send + 'static,
    ) -> io::Result<Self> {
        let stop = StopFlag::default();
        let stopping = stop.clone();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let Schedule { interval, mut retry, is_low_priority } = schedule;
            if is_low_priority {
                lower_priority();
            }
            loop {
                let is_last = stopping.is_set();
                let mut pause = interval;
                match work(&stopping) {
                    Ok(()) => retry.reset(),
                    Err(error) => {
                        pause = retry.next_delay();
                        tracing::warn!(worker = name, %error, retry_seconds = pause.as_secs_f64(), "background work failed");
                    }
                }
                if is_last {
                    return;
                }
                thread::park_timeout(pause);
            }
        })?;
        Ok(Self { stop, thread })
    }

    /// Runs the work once more and ends the thread.
    pub fn stop(self) {
        self.begin_stop();
        let _panicked = self.thread.join();
    }

    /// As [`Self::stop`], but leaves work that takes longer than `limit` to the end of the process.
    pub fn stop_within(self, limit: Duration) {
        self.begin_stop();
        let stopping_since = Instant::now();
        while !self.thread.is_finished() && stopping_since.elapsed() < limit {
            thread::sleep(STOP_POLL);
        }
    }

    fn begin_stop(&self) {
        self.stop.0.store(true, Ordering::Release);
        self.thread.thread().unpark();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn retries_are_delayed_up_to_a_maximum_and_reset_by_a_success() {
        let mut retry = Backoff::default();
        let mut delays = || -> Vec<_> {
            let delays = (0..7).map(|_| retry.next_delay().as_millis()).collect();
            retry.reset();
            delays
        };
        assert_eq!(delays(), [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000]);
        assert_eq!(delays()[0], 250);
    }

    #[test]
    fn work_is_repeated_retried_and_run_once_more_at_the_end() {
        let (ran, runs) = channel();
        let (short, long) = (Duration::from_millis(1), Duration::from_secs(600));
        let schedule = Schedule { retry: Backoff::new(short, long), ..Schedule::every(long) };
        let mut results = [Err("failed"), Ok(())].into_iter();
        let worker = Worker::start("test", schedule, move |stop| {
            ran.send(stop.is_set()).unwrap();
            results.next().unwrap_or(Ok(()))
        });
        assert_eq!((runs.recv().unwrap(), runs.recv().unwrap()), (false, false));
        worker.unwrap().stop();
        assert_eq!(runs.iter().collect::<Vec<_>>(), [true]);
    }
}
