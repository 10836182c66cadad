//! A server under measurement and its rounds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::companion::{Answers, Companion};
use crate::contestant::Contestant;
use crate::counts;
use crate::generator::{Closed, Generator, Open};
use crate::machine;
use crate::slugline::Api;
use crate::statistics::{as_f64, median};
use crate::traffic::Traffic;

/// One of the servers, with what the rounds so far have shown.
#[derive(Debug)]
pub struct Contender {
    /// Which server it is.
    pub contestant: Contestant,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process; `None` if it is not one of this run's.
    pub process: Option<u32>,
    /// slugline's API: after each phase, slugline is given the time to project its clicks.
    pub api: Option<Api>,
    /// All redirects received from it, warm-up included.
    pub answered: u64,
    /// The results of its closed loops, by round.
    pub closed: Vec<ClosedLoop>,
    /// The results of its open loops, by round.
    pub open: Vec<OpenLoop>,
    /// The results of its open loops beside other requests, by round.
    pub accompanied: Vec<OpenLoop>,
    /// The answers to these requests.
    pub answers: Answers,
}

/// Who drives the servers, and what with.
#[derive(Debug)]
pub struct Load<'a> {
    /// The threads.
    pub generator: &'a Generator,
    /// The requests.
    pub traffic: Arc<Traffic>,
    /// Requests per second of open loops, if not half of the closed loop's.
    pub rate: Option<u32>,
}

/// The result of a closed loop.
#[derive(Debug, Clone, Serialize)]
pub struct ClosedLoop {
    /// Redirects received.
    pub answered: u64,
    /// The duration of the loop.
    pub seconds: f64,
    /// Redirects per second.
    pub requests_per_second: f64,
    /// Processor time of the server per time passed.
    pub server_cores: f64,
    /// Processor time of the generator per time passed.
    pub generator_cores: f64,
    /// The same of all else on the machine; a run beside other work measures that work too.
    pub other_cores: f64,
    /// How long slugline kept working after the loop.
    pub settle_seconds: Option<f64>,
}

/// The result of an open loop.
#[derive(Debug, Clone, Serialize)]
pub struct OpenLoop {
    /// The scheduled requests per second.
    pub asked_per_second: f64,
    /// Redirects received per second.
    pub requests_per_second: f64,
    /// From when a request was due to its answer.
    #[serde(rename = "latency_us")]
    pub latency: Percentiles,
    /// From when a request was due to when an idle connection sent it.
    #[serde(rename = "generator_lag_us")]
    pub generator_lag: Percentiles,
    /// How long slugline kept working after the loop.
    pub settle_seconds: Option<f64>,
}

/// A distribution of times, in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// 9 of 10 are below.
    pub p90: f64,
    /// 99 of 100 are below.
    pub p99: f64,
    /// 999 of 1000 are below.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Percentiles {
    /// Reads a histogram of nanoseconds.
    pub fn of(histogram: &Histogram<u32>) -> Self {
        let at = |quantile| as_f64(histogram.value_at_quantile(quantile)) / 1_000.0;
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }

    /// The percentiles that half of the rounds exceed, each by itself: one disturbed round
    /// would fill the upper ones of all rounds together.
    pub fn medians(rounds: &[OpenLoop]) -> Self {
        let middle =
            |pick: fn(&Self) -> f64| median(rounds.iter().map(|round| pick(&round.latency)));
        Self {
            p50: middle(|latency| latency.p50),
            p90: middle(|latency| latency.p90),
            p99: middle(|latency| latency.p99),
            p999: middle(|latency| latency.p999),
            max: middle(|latency| latency.max),
        }
    }
}

impl Contender {
    /// A server that has not received any requests yet.
    pub const fn new(contestant: Contestant, address: SocketAddr, process: Option<u32>) -> Self {
        Self {
            contestant,
            address,
            process,
            api: None,
            answered: 0,
            closed: Vec::new(),
            open: Vec::new(),
            accompanied: Vec::new(),
            answers: Answers::new(),
        }
    }

    /// Discards the results of a scenario, except the number of responses.
    pub fn begin(&mut self) {
        self.closed.clear();
        self.open.clear();
        self.accompanied.clear();
        self.answers.clear();
    }

    /// Drives the server unmeasured.
    pub async fn warm_up(&mut self, load: &Load<'_>, phase: Duration) -> anyhow::Result<()> {
        let warm = self.throughput(load, phase).await?;
        self.settle(warm.answered).await?;
        Ok(())
    }

    /// Measures the throughput of one round.
    pub async fn closed(&mut self, load: &Load<'_>, phase: Duration) -> anyhow::Result<()> {
        let throughput = self.throughput(load, phase).await?;
        self.note(throughput).await
    }

    /// Keeps what a closed loop has shown, once slugline has projected its clicks.
    pub async fn note(&mut self, mut throughput: ClosedLoop) -> anyhow::Result<()> {
        throughput.settle_seconds = self.settle(throughput.answered).await?;
        self.closed.push(throughput);
        Ok(())
    }

    /// Drives the server as fast as it answers; to be [noted](Self::note).
    pub async fn throughput(&self, load: &Load<'_>, phase: Duration) -> anyhow::Result<ClosedLoop> {
        let before = Usage::read(self.process)?;
        let Load { generator, traffic, .. } = load;
        let Closed { answered, elapsed } = generator.closed(self.address, phase, traffic).await?;
        let after = Usage::read(self.process)?;
        let seconds = elapsed.as_secs_f64();
        let cores = |pick: fn(&Usage) -> Duration| {
            pick(&after).saturating_sub(pick(&before)).as_secs_f64() / seconds
        };
        let server_cores = cores(|usage| usage.server);
        let generator_cores = cores(|usage| usage.generator);
        let all_cores = cores(|usage| usage.machine);
        Ok(ClosedLoop {
            answered,
            seconds,
            requests_per_second: as_f64(answered) / seconds,
            server_cores,
            generator_cores,
            other_cores: (all_cores - server_cores - generator_cores).max(0.0),
            settle_seconds: None,
        })
    }

    /// Measures the latency of one round, at half of the throughput of the same round.
    pub async fn open(&mut self, load: &Load<'_>, phase: Duration) -> anyhow::Result<()> {
        let open = self.latency(load, phase, self.open.len()).await?;
        self.open.push(open);
        Ok(())
    }

    /// Measures the latency of the same redirects beside so many other requests per second.
    pub async fn open_accompanied(
        &mut self,
        load: &Load<'_>,
        phase: Duration,
        (companion, per_second): (Companion, u32),
    ) -> anyhow::Result<()> {
        let Some(api) = self.api.clone() else { return Ok(()) };
        let sending = tokio::spawn(companion.send(api, per_second, phase));
        let open = self.latency(load, phase, self.accompanied.len()).await?;
        self.accompanied.push(open);
        for (status, times) in sending.await? {
            self.answers.entry(status).or_default().extend(times);
        }
        Ok(())
    }

    async fn latency(
        &mut self,
        load: &Load<'_>,
        phase: Duration,
        round: usize,
    ) -> anyhow::Result<OpenLoop> {
        let Some(throughput) = self.closed.last() else {
            anyhow::bail!("an open loop needs the throughput of a closed one");
        };
        let half = throughput.requests_per_second / 2.0;
        let asked_per_second = load.rate.map_or(half, f64::from);
        let Load { generator, traffic, .. } = load;
        let Open { answered, elapsed, latency, lag } =
            generator.open(self.address, phase, traffic, asked_per_second, round as u64).await?;
        let settle_seconds = self.settle(answered).await?;
        Ok(OpenLoop {
            asked_per_second,
            requests_per_second: as_f64(answered) / elapsed.as_secs_f64(),
            latency: Percentiles::of(&latency),
            generator_lag: Percentiles::of(&lag),
            settle_seconds,
        })
    }

    /// Counts the answers of a phase, and waits until slugline has projected them.
    async fn settle(&mut self, answered: u64) -> anyhow::Result<Option<f64>> {
        self.answered += answered;
        let Some(api) = &self.api else {
            return Ok(None);
        };
        let begun = Instant::now();
        counts::settle(api, self.answered).await?;
        Ok(Some(begun.elapsed().as_secs_f64()))
    }

    /// The throughput that half of the rounds exceed.
    pub fn requests_per_second(&self) -> f64 {
        median(self.closed.iter().map(|round| round.requests_per_second))
    }
}

/// Processor time used so far.
struct Usage {
    server: Duration,
    generator: Duration,
    machine: Duration,
}

impl Usage {
    fn read(server: Option<u32>) -> anyhow::Result<Self> {
        Ok(Self {
            server: server.map(machine::processor_time).transpose()?.unwrap_or_default(),
            generator: machine::processor_time(std::process::id())?,
            machine: machine::busy_time()?,
        })
    }
}
