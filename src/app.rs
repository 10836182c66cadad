//! The composition root: opens, spawns, and shuts down in order.

mod health;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;

use health::{HouseHealth, install_metrics, keep_metrics};

use crate::clicks::{Agents, BotList, GeoReader, Interpreter, Recorder, Syncer, VisitorSalts};
use crate::commands::{Bootstrap, Commands, bootstrap, now_ms};
use crate::config::{ClickHouseChoice, Settings, Source};
use crate::domain::link::LinkPolicy;
use crate::engine::{self, Engine, EngineConfig, EngineOptions, Package, Progress};
use crate::http::redirect::Redirector;
use crate::http::server::{self, Front};
use crate::http::{Services, Site};
use crate::log::{DataLock, DiskStorage, Log, LogOptions};
use crate::projections::clickhouse::{ClickHouse, Projector, Status, Target};
use crate::projections::index::{Index, Keeper};
use crate::projections::stand_back;
use crate::queries::analytics::Analytics;
use crate::queries::links::Links;

/// How long the last clicks may take into ClickHouse at the end; what is left goes at the next
/// start.
const LAST_PROJECTION: Duration = Duration::from_secs(3);
const ENGINE_SHUTDOWN: Duration = Duration::from_secs(10);
/// Serves until it is told to stop (SIGTERM, SIGINT).
pub fn run(settings: &Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // A port that is taken is found before anything is fetched or opened.
    let listener = runtime
        .block_on(TcpListener::bind(settings.listen))
        .with_context(|| format!("can't listen on {}", settings.listen))?;
    let _lock = DataLock::acquire(&settings.data_dir)?;
    let metrics = install_metrics()?;
    let site = settings.site(listener.local_addr()?);
    let house = House::open(settings, &site, metrics)?;
    announce(&house.bootstrap, &site);
    runtime.block_on(async {
        let front = house.front(site);
        tokio::spawn(reload_on_hangup(Arc::clone(&house.recorder)));
        tokio::spawn(keep_metrics(house.metrics.clone()));
        server::serve(listener, front, stop_signal()).await;
    });
    tracing::info!("stopping");
    house.close();
    Ok(())
}

/// All that is open while the service runs, in the order in which it was opened.
struct House {
    mutations: Arc<Log>,
    clicks: Arc<Log>,
    index: Arc<Index>,
    bootstrap: Bootstrap,
    recorder: Arc<Recorder>,
    syncer: Syncer,
    commands: Commands,
    dispatcher: JoinHandle<()>,
    keeper: Keeper,
    engine: Option<Engine>,
    clickhouse: ClickHouse,
    status: Arc<Status>,
    stop_projector: watch::Sender<bool>,
    projector: JoinHandle<()>,
    metrics: PrometheusHandle,
}

impl House {
    fn open(settings: &Settings, site: &Site, metrics: PrometheusHandle) -> anyhow::Result<Self> {
        let data = settings.data_dir.as_path();
        let agents = read_crawlers(&settings.crawler_list)?;
        let geo_db = data_file(&settings.geo_db, &Package::countries())?;
        let geo = GeoReader::new(geo_db.clone()).with_context(|| shown(geo_db.as_deref()))?;
        let engine = start_engine(settings)?;

        let mutations = Arc::new(open_log(&data.join("log/mutations"))?);
        let clicks = Arc::new(open_log(&data.join("log/clicks"))?);
        let index = Arc::new(Index::open(&data.join("index"), &mutations)?);
        let given = std::env::var("SLUGLINE_BOOTSTRAP_TOKEN").ok();
        let bootstrap = bootstrap(&mutations, &index, given.as_deref())?;

        let visitors =
            VisitorSalts::open(data.join("visitor.salt"), settings.visitor_salt, now_ms())?;
        let proxies = settings.trusted_proxies.clone();
        let interpreter =
            Interpreter { proxies, geo, agents: Agents::new(agents.join()?), visitors };
        let recorder = Arc::new(Recorder::new(interpreter, Arc::clone(&clicks)));
        let syncer = Syncer::start(Arc::clone(&recorder), settings.clicks_sync_interval)?;

        let policy = LinkPolicy { own_hosts: own_hosts(site) };
        let (commands, dispatcher) =
            Commands::start(Arc::clone(&mutations), Arc::clone(&index), policy)?;
        let keeper = Keeper::start(Arc::clone(&index), Arc::clone(&mutations))?;

        let targets = targets(settings, engine.as_ref());
        let (ready, clickhouse) = ClickHouse::new();
        let (stop_projector, stop) = watch::channel(false);
        let plan = data.join("clickhouse.plan");
        let projector = Projector::new(Arc::clone(&clicks), plan, targets.receiver, ready, stop);
        let status = projector.status();
        let projector = spawn_projector(projector, targets.forward)?;
        Ok(Self {
            mutations,
            clicks,
            index,
            bootstrap,
            recorder,
            syncer,
            commands,
            dispatcher,
            keeper,
            engine,
            clickhouse,
            status,
            stop_projector,
            projector,
            metrics,
        })
    }

    fn front(&self, site: Site) -> Front {
        let links = Links::new(Arc::clone(&self.index));
        let health = HouseHealth {
            commands: self.commands.clone(),
            mutations: Arc::clone(&self.mutations),
            clicks: Arc::clone(&self.clicks),
            index: Arc::clone(&self.index),
            status: Arc::clone(&self.status),
            metrics: self.metrics.clone(),
        };
        let services = Services {
            commands: self.commands.clone(),
            links: links.clone(),
            analytics: Analytics::new(self.clickhouse.clone()),
            site: Arc::new(site),
            health: Arc::new(health),
        };
        let redirector = Arc::new(Redirector::new(links, Arc::clone(&self.recorder)));
        Front { redirector, router: crate::http::router(services) }
    }

    /// In the order of the data: what is accepted is finished, synced, projected; then the
    /// engine goes.
    fn close(self) {
        drop(self.commands);
        let _panicked = self.dispatcher.join();
        self.keeper.stop();
        self.syncer.stop();
        self.stop_projector.send_replace(true);
        let waited = std::time::Instant::now();
        while !self.projector.is_finished() && waited.elapsed() < LAST_PROJECTION {
            std::thread::sleep(Duration::from_millis(10));
        }
        if let Err(error) = self.index.flush() {
            tracing::warn!(%error, "the index could not be flushed; it will catch up from the log");
        }
        if let Some(engine) = self.engine {
            engine.shutdown(ENGINE_SHUTDOWN);
        }
        tracing::info!("stopped");
    }
}

fn open_log(folder: &Path) -> anyhow::Result<Log> {
    Ok(Log::open(Arc::new(DiskStorage), folder, LogOptions::default())?)
}

fn shown(path: Option<&Path>) -> String {
    path.unwrap_or(Path::new("none")).display().to_string()
}

/// A data file that is there, fetched if need be; `None` where it is done without.
fn data_file(source: &Source, package: &Package) -> anyhow::Result<Option<std::path::PathBuf>> {
    Ok(match source {
        Source::File(path) => Some(path.clone()),
        Source::Nothing => None,
        Source::Fetched => {
            Some(engine::fetch(package, &engine::default_cache_dir()?, Progress::Shown)?)
        }
    })
}

/// A list that is being compiled on a thread of its own, which takes a while.
struct Crawlers(Option<JoinHandle<anyhow::Result<BotList>>>);

fn read_crawlers(source: &Source) -> anyhow::Result<Crawlers> {
    let path = data_file(source, &Package::crawlers())?;
    Ok(Crawlers(path.map(|path| {
        std::thread::spawn(move || BotList::load(&path).with_context(|| shown(Some(&path))))
    })))
}

impl Crawlers {
    fn join(self) -> anyhow::Result<BotList> {
        let Some(thread) = self.0 else { return Ok(BotList::default()) };
        thread.join().map_err(|_| anyhow::anyhow!("reading the crawler list panicked"))?
    }
}

fn start_engine(settings: &Settings) -> anyhow::Result<Option<Engine>> {
    let ClickHouseChoice::Embedded { lib, memory_bytes } = &settings.clickhouse else {
        return Ok(None);
    };
    let lib = match lib {
        // The supervisor would try for ever, and redirects would go on without analytics.
        Source::File(path) if !path.is_file() => {
            anyhow::bail!("--engine-lib: there is no file {}", path.display())
        }
        Source::File(path) => path.clone(),
        _ => engine::fetch(&Package::engine()?, &engine::default_cache_dir()?, Progress::Shown)?,
    };
    let config = memory_bytes
        .map_or_else(EngineConfig::default, |memory_bytes| EngineConfig { memory_bytes });
    let engine = Engine::start(EngineOptions {
        exe: std::env::current_exe()?,
        lib,
        data_dir: settings.data_dir.join("clickhouse"),
        run_dir: settings.data_dir.join("clickhouse-run"),
        config,
    })?;
    Ok(Some(engine))
}

type Forward = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where ClickHouse is, over time.
struct Targets {
    receiver: watch::Receiver<Option<Target>>,
    /// Passes on what the engine says of itself; to be run beside the projector.
    forward: Forward,
}

fn targets(settings: &Settings, engine: Option<&Engine>) -> Targets {
    let (sender, receiver) = watch::channel(None);
    let forward: Forward = match (&settings.clickhouse, engine) {
        (ClickHouseChoice::Server(target), _) => {
            sender.send_replace(Some(target.clone()));
            Box::pin(async move { sender.closed().await })
        }
        (ClickHouseChoice::Embedded { .. }, None) => Box::pin(std::future::ready(())),
        (ClickHouseChoice::Embedded { .. }, Some(engine)) => {
            let mut endpoint = engine.endpoint();
            Box::pin(async move {
                loop {
                    let target = endpoint.borrow_and_update().as_ref().map(|endpoint| Target {
                        url: endpoint.url.clone(),
                        user: endpoint.user.clone(),
                        password: endpoint.password.expose().to_owned(),
                        database: endpoint.database.clone(),
                    });
                    sender.send_replace(target);
                    if endpoint.changed().await.is_err() {
                        return;
                    }
                }
            })
        }
    };
    Targets { receiver, forward }
}

/// The projector works on a thread and a runtime of its own: a batch of clicks is some
/// milliseconds of work, which no redirect is to wait for.
fn spawn_projector(projector: Projector, forward: Forward) -> anyhow::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("projector".to_owned()).spawn(move || {
        stand_back();
        runtime.block_on(async {
            tokio::spawn(forward);
            projector.run().await;
        });
    })?;
    Ok(thread)
}

/// The hosts that lead here; the default domain first.
fn own_hosts(site: &Site) -> Vec<String> {
    let mut hosts = vec![site.host.clone()];
    if let Some(port) = site.host.strip_prefix("127.0.0.1") {
        hosts.push(format!("localhost{port}"));
    }
    hosts
}

#[allow(
    clippy::print_stdout,
    reason = "the token is for the person at the terminal, not for a log"
)]
fn announce(bootstrap: &Bootstrap, site: &Site) {
    if let Bootstrap::WithNewToken(token) = bootstrap {
        println!("Your owner token, shown this once:\n\n    {token}\n");
    }
    tracing::info!(url = site.base, "slugline is ready");
}

async fn reload_on_hangup(recorder: Arc<Recorder>) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangups) = signal(SignalKind::hangup()) else { return };
    while hangups.recv().await.is_some() {
        let recorder = Arc::clone(&recorder);
        let reloaded =
            tokio::task::spawn_blocking(move || recorder.interpreter().geo.reload()).await;
        match reloaded {
            Ok(Ok(())) => tracing::info!("the geo database was read again"),
            Ok(Err(error)) => {
                tracing::error!(%error, "the geo database could not be read; the old one stays");
            }
            Err(error) => {
                tracing::error!(%error, "reading the geo database panicked; the old one stays");
            }
        }
    }
}

async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}
