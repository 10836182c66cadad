//! The phases of the benchmark: start, fill, warm up, alternate, count, restart, report.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::StatusCode;
use tokio_rustls::rustls::RootCertStore;

use crate::agents;
use crate::bare::SERVE_BARE;
use crate::companion::Companion;
use crate::contender::{Contender, Load};
use crate::contestant::Contestant;
use crate::counts::{self, Counts};
use crate::generator::Generator;
use crate::machine::{self, Machine, Memory};
use crate::options::Options;
use crate::process::{Recipe, Server, free_address};
use crate::report::{Report, ScenarioReport, SluglineReport};
use crate::scenario::Scenario;
use crate::slugline::{Api, Slugline};
use crate::statistics::as_f64;
use crate::sustained::{Sustained, Watch};
use crate::table;
use crate::traffic::LinkKind;

const BARE_READY_LIMIT: Duration = Duration::from_secs(10);
/// How long the bare server is driven at most where slugline is for minutes.
const BARE_PHASE: Duration = Duration::from_secs(30);
const REQUEST_LIMIT: Duration = Duration::from_secs(60);

/// Runs the benchmark; fails if slugline's counts differ.
pub async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let machine = Machine::read()?;
    let profiles = agents::profiles()?;
    print!("{}", table::preamble(&machine, options));
    let generator = Generator::start(options.threads, options.connections)?;
    let http = slugline::effects::http_client(RootCertStore::empty())?
        .no_proxy()
        .timeout(REQUEST_LIMIT)
        .build()
        .context("cannot make an HTTP client")?;

    let mut contenders = Vec::new();
    let mut bare = None;
    if options.measures(Contestant::Bare) {
        let output = tempfile::Builder::new().prefix("bare-bench-").tempfile()?.into_temp_path();
        let server = start_bare(&output, &http).await?;
        contenders.push(Contender::new(Contestant::Bare, server.address(), Some(server.process())));
        bare = Some((server, output));
    }
    let mut filled = None;
    if options.measures(Contestant::Slugline) {
        let started = Filled::start(&http, options.companion).await?;
        let server = &started.slugline.server;
        let mut contender =
            Contender::new(Contestant::Slugline, server.address(), Some(server.process()));
        contender.api = Some(started.slugline.api.clone());
        contenders.push(contender);
        filled = Some(started);
    }

    if let Some(target) = &options.target {
        let address =
            *target.socket_addrs(|| None)?.first().context("the target has no address")?;
        contenders.push(Contender::new(Contestant::Target, address, None));
    }

    let mut scenarios = Vec::new();
    for scenario in &options.scenarios {
        let traffic = match &options.target {
            Some(target) => options.traffic_of(target, *scenario, &profiles)?,
            None => scenario.traffic(options.links_of(*scenario), &profiles),
        };
        let traffic = Arc::new(traffic);
        println!("\n{}: {}", scenario.name(), table::requests(&traffic.summary));
        if let Some(filled) = &mut filled {
            filled.fill(scenario.kind(), options.links_of(*scenario)).await?;
        }
        let load = Load { generator: &generator, traffic, rate: options.rate };
        let api = filled.as_ref().map(|filled| &filled.slugline.api);
        scenarios.push(run_scenario(options, *scenario, &load, &mut contenders, api).await?);
    }

    let mut report = Report::new(machine, options, scenarios)?;
    drop(bare);
    if let (Some(filled), Some(contender)) = (filled, contenders.last()) {
        report.slugline = Some(conclude(filled, contender).await?);
    }
    print!("{}", table::results(&report));
    if let Some(file) = &options.json {
        report.write(file)?;
    }
    let equal = report.slugline.as_ref().is_none_or(|slugline| slugline.counts.equal());
    if !equal {
        eprintln!("redirect bench: the three counts of clicks differ");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Drives the servers as a scenario says.
async fn run_scenario(
    options: &Options,
    scenario: Scenario,
    load: &Load<'_>,
    contenders: &mut [Contender],
    api: Option<&Api>,
) -> anyhow::Result<ScenarioReport> {
    let beside = api.and_then(|api| scenario.beside(api));
    let sustained = if scenario == Scenario::Sustained {
        sustain(options, load, contenders).await?
    } else {
        measure(options, load, contenders).await?;
        None
    };
    let report = ScenarioReport::new(
        scenario,
        options.links_of(scenario),
        load.traffic.summary.clone(),
        contenders,
        beside.map(|asking| asking.answered()),
    )?;
    Ok(ScenarioReport { sustained, ..report })
}

/// A slugline with its links, and what that took.
struct Filled {
    slugline: Slugline,
    first_ready: Duration,
    /// Plain ones, created so far.
    links: u32,
    /// Links with rules, created so far.
    ruled: u32,
    /// The duration of the plain scenario.
    fill: Duration,
    memory: Memory,
}

async fn start_bare(output: &std::path::Path, http: &reqwest::Client) -> anyhow::Result<Server> {
    let address = free_address()?;
    let recipe = Recipe {
        name: Contestant::Bare.name(),
        program: std::env::current_exe()?,
        arguments: vec![SERVE_BARE.into(), address.to_string().into()],
        environment: Vec::new(),
        address,
        // It takes `readyz` for a slug.
        ready: StatusCode::FOUND,
        output: output.to_owned(),
    };
    Server::start(recipe, http, BARE_READY_LIMIT).await
}

impl Filled {
    /// Without any link yet.
    async fn start(
        http: &reqwest::Client,
        companion: Option<(Companion, u32)>,
    ) -> anyhow::Result<Self> {
        println!("starting slugline …");
        let slugline = Slugline::start(http, companion.map(|(companion, _)| companion)).await?;
        Ok(Self {
            first_ready: slugline.server.ready_after,
            memory: machine::memory(slugline.server.process())?,
            slugline,
            links: 0,
            ruled: 0,
            fill: Duration::ZERO,
        })
    }

    /// Creates missing links up to this number.
    async fn fill(&mut self, kind: LinkKind, links: u32) -> anyhow::Result<()> {
        let created = match kind {
            LinkKind::Plain => self.links,
            LinkKind::Ruled => self.ruled,
        };
        if links <= created {
            return Ok(());
        }
        println!("creating links up to {} …", table::thousands(links.into()));
        let took = self.slugline.api.fill(kind, created, links).await?;
        println!(
            "created in {:.1} s, {} per second",
            took.as_secs_f64(),
            table::rate(f64::from(links - created) / took.as_secs_f64()),
        );
        match kind {
            LinkKind::Plain => {
                self.links = links;
                self.fill += took;
            }
            LinkKind::Ruled => self.ruled = links,
        }
        self.memory = machine::memory(self.slugline.server.process())?;
        Ok(())
    }
}

/// Drives the servers in turn, so that what disturbs the machine disturbs both.
async fn measure(
    options: &Options,
    load: &Load<'_>,
    contenders: &mut [Contender],
) -> anyhow::Result<()> {
    for contender in &mut *contenders {
        contender.begin();
        println!("warming up {} …", contender.contestant.name());
        contender.warm_up(load, options.warm_up()).await?;
    }
    for round in 1..=options.rounds {
        for contender in &mut *contenders {
            contender.closed(load, options.phase).await?;
            if let Some(closed) = contender.closed.last() {
                print!("{}", table::throughput(round, contender.contestant, closed));
            }
        }
        for contender in &mut *contenders {
            contender.open(load, options.phase).await?;
            if let Some(open) = contender.open.last() {
                print!("{}", table::latency(round, contender.contestant, open));
            }
        }
        let Some((companion, per_second)) = options.companion else { continue };
        for contender in &mut *contenders {
            contender.open_accompanied(load, options.phase, (companion, per_second)).await?;
            if let Some(open) = contender.accompanied.last() {
                println!("beside {per_second} {}/s:", companion.name());
                print!("{}", table::latency(round, contender.contestant, open));
            }
        }
    }
    Ok(())
}

/// Drives the bare server for a while, then slugline for the whole phase, watched.
async fn sustain(
    options: &Options,
    load: &Load<'_>,
    contenders: &mut [Contender],
) -> anyhow::Result<Option<Sustained>> {
    let mut sustained = None;
    for contender in contenders {
        contender.begin();
        contender.warm_up(load, options.warm_up()).await?;
        let watch = match &contender.api {
            Some(api) => {
                let links = options.links_of(Scenario::Sustained);
                let process = contender.process.context("slugline has a process")?;
                Some(Watch::start(api, process, links)?)
            }
            None => None,
        };
        let phase = watch.as_ref().map_or(options.phase.min(BARE_PHASE), |_| options.phase);
        let closed = contender.throughput(load, phase).await?;
        print!("{}", table::throughput(1, contender.contestant, &closed));
        sustained = watch.as_ref().map(Watch::seen);
        drop(watch);
        contender.note(closed).await?;
    }
    Ok(sustained)
}

/// Counts slugline's clicks, and restarts it.
async fn conclude(filled: Filled, contender: &Contender) -> anyhow::Result<SluglineReport> {
    println!("counting and restarting …");
    let memory_after = machine::memory(filled.slugline.server.process())?;
    let projection = counts::projection(&filled.slugline.api).await?;
    let in_clickhouse = counts::settle(&filled.slugline.api, contender.answered).await?;
    let (restarted, in_log) = filled.slugline.restart(counts::clicks_in_log).await?;
    Ok(SluglineReport {
        links: filled.links,
        first_ready_seconds: filled.first_ready.as_secs_f64(),
        fill_seconds: filled.fill.as_secs_f64(),
        creates_per_second: as_f64(filled.links.into()) / filled.fill.as_secs_f64(),
        memory_with_links: filled.memory,
        memory_after_load: memory_after,
        restart_ready_seconds: restarted.server.ready_after.as_secs_f64(),
        projection,
        counts: Counts { answered: contender.answered, in_log, in_clickhouse },
    })
}
