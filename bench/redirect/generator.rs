//! The load generator: the same connections, requests and clocks for both servers.
//!
//! It has threads of its own, each with a single-threaded runtime, and allocates nothing while
//! a phase runs. It shares the machine's cores with the server that it drives.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::connection::Connection;
use crate::schedule::Schedule;
use crate::traffic::Traffic;

/// The generator's threads.
#[derive(Debug)]
pub struct Generator {
    threads: Vec<Handle>,
    connections: usize,
}

/// A closed loop: each connection sends its next request as soon as it has its answer.
#[derive(Debug)]
pub struct Closed {
    /// Redirects received.
    pub answered: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

/// An open loop: requests are sent when they are due, answers or not.
#[derive(Debug)]
pub struct Open {
    /// Redirects received.
    pub answered: u64,
    /// From the start of the schedule to the last answer.
    pub elapsed: Duration,
    /// Nanoseconds from when a request was due to the end of its answer.
    pub latency: Histogram<u32>,
    /// Nanoseconds from when a request was due to when an idle connection sent it: the part of
    /// the latency that is the generator's own.
    pub lag: Histogram<u32>,
}

impl Generator {
    /// Starts the threads; they idle between phases and end with the process.
    pub fn start(threads: usize, connections: usize) -> anyhow::Result<Self> {
        let threads = (0..threads.min(connections))
            .map(|_| {
                let runtime = Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .context("cannot start the generator's runtime")?;
                let handle = runtime.handle().clone();
                thread::Builder::new()
                    .name("generator".to_owned())
                    .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
                Ok(handle)
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { threads, connections })
    }

    /// Drives a server as fast as it answers.
    pub async fn closed(
        &self,
        server: SocketAddr,
        phase: Duration,
        traffic: &Arc<Traffic>,
    ) -> anyhow::Result<Closed> {
        let connections = self.connect(server).await?;
        let start = Instant::now();
        let end = start + phase;
        let running = connections
            .into_iter()
            .enumerate()
            .map(|(lane, connection)| {
                let traffic = Arc::clone(traffic);
                let from = lane * traffic.len() / self.connections;
                self.thread(lane).spawn(saturate(connection, traffic, from, end))
            })
            .collect();
        let answered = finish(running, phase).await?.into_iter().sum();
        Ok(Closed { answered, elapsed: start.elapsed() })
    }

    /// Drives a server at `rate` requests per second.
    pub async fn open(
        &self,
        server: SocketAddr,
        phase: Duration,
        traffic: &Arc<Traffic>,
        rate: f64,
        seed: u64,
    ) -> anyhow::Result<Open> {
        let schedule = Arc::new(Schedule::poisson(rate, phase, seed));
        let connections = self.connect(server).await?;
        let wakers: Vec<_> = connections.iter().map(|_| Arc::new(Notify::new())).collect();
        // A moment ahead, so that every connection waits when the first request is due.
        let start = Instant::now() + Duration::from_millis(50);
        let mut running = Vec::with_capacity(connections.len());
        for (lane, connection) in connections.into_iter().enumerate() {
            let paced = Paced {
                connection,
                traffic: Arc::clone(traffic),
                schedule: Arc::clone(&schedule),
                lane,
                lanes: self.connections,
                due: Arc::clone(&wakers[lane]),
                result: Open {
                    answered: 0,
                    elapsed: Duration::ZERO,
                    latency: new_histogram()?,
                    lag: new_histogram()?,
                },
            };
            running.push(self.thread(lane).spawn(paced.run(start)));
        }
        schedule.pace(start, wakers)?;
        let mut total = Open {
            answered: 0,
            elapsed: Duration::ZERO,
            latency: new_histogram()?,
            lag: new_histogram()?,
        };
        for part in finish(running, phase).await? {
            total.answered += part.answered;
            total.elapsed = total.elapsed.max(part.elapsed);
            total.latency.add(&part.latency)?;
            total.lag.add(&part.lag)?;
        }
        Ok(total)
    }

    async fn connect(&self, server: SocketAddr) -> anyhow::Result<Vec<Connection>> {
        let opening: Vec<_> = (0..self.connections)
            .map(|lane| self.thread(lane).spawn(Connection::open(server)))
            .collect();
        finish(opening, Duration::ZERO).await
    }

    /// The thread that a connection lives on.
    fn thread(&self, lane: usize) -> &Handle {
        &self.threads[lane % self.threads.len()]
    }
}

/// Waits for all connections, bounded: a server that hangs ends the run.
async fn finish<T>(
    running: Vec<JoinHandle<anyhow::Result<T>>>,
    phase: Duration,
) -> anyhow::Result<Vec<T>> {
    let all = async {
        let mut results = Vec::with_capacity(running.len());
        for task in running {
            results.push(task.await.context("a connection's task ended early")??);
        }
        Ok(results)
    };
    tokio::time::timeout(phase * 3 + Duration::from_secs(30), all)
        .await
        .context("the server stopped answering")?
}

/// Spread evenly over the pool of requests, the connections walk through it.
async fn saturate(
    mut connection: Connection,
    traffic: Arc<Traffic>,
    from: usize,
    end: Instant,
) -> anyhow::Result<u64> {
    let mut answered = 0;
    let mut next = from;
    let mut scratch = Vec::new();
    while Instant::now() < end {
        connection.exchange(traffic.fresh(next, &mut scratch)).await?;
        answered += 1;
        next += 1;
    }
    Ok(answered)
}

/// A connection of an open loop.
struct Paced {
    connection: Connection,
    traffic: Arc<Traffic>,
    schedule: Arc<Schedule>,
    lane: usize,
    lanes: usize,
    due: Arc<Notify>,
    result: Open,
}

impl Paced {
    async fn run(mut self, start: Instant) -> anyhow::Result<Open> {
        let mut scratch = Vec::new();
        for (number, due) in self.schedule.lane(self.lane, self.lanes) {
            let due = start + due;
            let mut idle = false;
            while Instant::now() < due {
                self.due.notified().await;
                idle = true;
            }
            if idle {
                self.result.lag.saturating_record(nanoseconds(due));
            }
            self.connection.exchange(self.traffic.fresh(number, &mut scratch)).await?;
            // Late requests count from when they were due, not from when they were sent: what
            // a slow answer does to those behind it is part of their latency.
            self.result.latency.saturating_record(nanoseconds(due));
            self.result.answered += 1;
        }
        self.result.elapsed = start.elapsed();
        Ok(self.result)
    }
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Tells latencies from 1 µs to a minute apart to three digits.
fn new_histogram() -> anyhow::Result<Histogram<u32>> {
    Ok(Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?)
}
