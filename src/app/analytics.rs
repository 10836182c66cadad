//! The analytics part of the service: the click log, ClickHouse, and the projector between them.

use std::future::ready;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::locations::Location;
use crate::clicks::Recorder;
use crate::config::{ClickHouseChoice, Settings, Source};
use crate::engine::{self, Endpoint, Engine, EngineConfig, EngineOptions, Package, Progress};
use crate::jobs::Scheduler;
use crate::log::{Log, lower_priority};
use crate::projections::DeletionWatch;
use crate::projections::clickhouse::{ClickHouse, Operator, Projector, Retention, Target};

/// How long the projector may take to send the last clicks at shutdown; the rest is sent after the
/// next start.
const LAST_PROJECTION: Duration = Duration::from_secs(3);
/// How often the pacing of redirects is adapted to the lag.
const PACE_EVERY: Duration = Duration::from_millis(250);
/// The delay before the first check for expired clicks, and the interval. A check costs little
/// while nothing is old.
const RETENTION_CHECKS: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];
const ENGINE_SHUTDOWN: Duration = Duration::from_secs(10);

/// ClickHouse and the running projector.
pub struct AnalyticsSide {
    /// `None` with an external ClickHouse.
    pub engine: Option<EmbeddedEngine>,
    /// For reads.
    pub clickhouse: ClickHouse,
    /// For operator commands.
    pub operator: Operator,
    stop: watch::Sender<bool>,
    projector: JoinHandle<()>,
}

impl AnalyticsSide {
    /// Starts projecting the log into this engine, or into the configured ClickHouse. `forgotten`
    /// tracks which link deletions the log contains.
    pub fn open(
        settings: &Settings,
        clicks: &Arc<dyn Log>,
        forgotten: DeletionWatch,
        engine: Option<EmbeddedEngine>,
    ) -> anyhow::Result<Self> {
        let targets = targets(settings, engine.as_ref());
        let (stop, stopped) = watch::channel(false);
        let data = settings.data_dir.as_path();
        let projector =
            Projector::new(Arc::clone(clicks), data, forgotten, targets.receiver, stopped);
        let (clickhouse, operator) = (projector.clickhouse(), projector.operator());
        let retention = settings.clicks_retention.map(|age| projector.retention(age));
        let projector = spawn_projector(projector, retention, targets.forward)?;
        Ok(Self { engine, clickhouse, operator, stop, projector })
    }

    /// Projects the rest of the log for a limited time, then stops the engine.
    pub fn close(self) {
        self.stop.send_replace(true);
        let waited = Instant::now();
        while !self.projector.is_finished() && waited.elapsed() < LAST_PROJECTION {
            std::thread::sleep(Duration::from_millis(10));
        }
        if let Some(engine) = self.engine {
            engine.shutdown();
        }
    }
}

/// The embedded engine, which starts when its library is there.
#[derive(Clone)]
pub struct EmbeddedEngine(Arc<EngineSlot>);

struct EngineSlot {
    /// The parent of its folders.
    data: PathBuf,
    config: EngineConfig,
    running: Mutex<Option<Engine>>,
    /// The endpoint's changes, once it is running.
    endpoint: watch::Sender<Option<watch::Receiver<Option<Endpoint>>>>,
}

impl EmbeddedEngine {
    /// Finds the library, and starts the engine if it is there. Without an engine if another
    /// ClickHouse is configured.
    pub fn open(settings: &Settings) -> anyhow::Result<(Location, Option<Self>)> {
        let ClickHouseChoice::Embedded { lib, memory_bytes } = &settings.clickhouse else {
            return Ok((Location::Disabled, None));
        };
        let location = match lib {
            // The supervisor would retry forever, and redirects would run without analytics.
            Source::File(path) if !path.is_file() => {
                anyhow::bail!("--engine-lib: {} does not exist", path.display())
            }
            Source::File(path) => Location::Given(path.clone()),
            _ => Location::find(lib, &Package::engine()?),
        };
        let config = memory_bytes
            .map_or_else(EngineConfig::default, |memory_bytes| EngineConfig { memory_bytes });
        let (data, endpoint) = (settings.data_dir.clone(), watch::Sender::new(None));
        let running = Mutex::default();
        let engine = Self(Arc::new(EngineSlot { data, config, running, endpoint }));
        if let Location::Given(path) | Location::Cached(path) = &location {
            engine.start(path)?;
        }
        Ok((location, Some(engine)))
    }

    /// As [`Self::open`], and fetches a missing library now.
    pub fn open_or_fetch(settings: &Settings) -> anyhow::Result<Option<Self>> {
        let (location, engine) = Self::open(settings)?;
        if let Some(engine) = engine.as_ref().filter(|_| location.is_missing()) {
            let cache = engine::default_cache_dir()?;
            engine.start(&engine::fetch(&Package::engine()?, &cache, Progress::Shown)?)?;
        }
        Ok(engine)
    }

    /// Starts it with this library.
    pub fn start(&self, lib: &Path) -> anyhow::Result<()> {
        let engine = Engine::start(EngineOptions {
            exe: std::env::current_exe()?,
            lib: lib.to_owned(),
            data_dir: self.0.data.join("clickhouse"),
            run_dir: self.0.data.join("clickhouse-run"),
            config: self.0.config,
        })?;
        self.0.endpoint.send_replace(Some(engine.endpoint()));
        *self.running() = Some(engine);
        Ok(())
    }

    fn running(&self) -> MutexGuard<'_, Option<Engine>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shutdown(&self) {
        let engine = self.running().take();
        if let Some(engine) = engine {
            engine.shutdown(ENGINE_SHUTDOWN);
        }
    }
}

/// Slows redirects down while the analytics lag, to free CPU time for them. Has no effect while
/// ClickHouse is unavailable.
pub fn keep_pace(scheduler: &mut Scheduler, recorder: Arc<Recorder>, clickhouse: ClickHouse) {
    let state = (recorder, clickhouse);
    scheduler.every("pacing", [PACE_EVERY; 2], state, |(recorder, clickhouse)| {
        let is_connected = clickhouse.status.is_connected();
        recorder.pacing.follow(if is_connected { clickhouse.as_of().lag_ms } else { 0 });
        ready(())
    });
}

type Forward = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// The address of ClickHouse over time.
struct Targets {
    receiver: watch::Receiver<Option<Target>>,
    /// Forwards the engine's endpoint; runs beside the projector.
    forward: Forward,
}

fn targets(settings: &Settings, engine: Option<&EmbeddedEngine>) -> Targets {
    let (sender, receiver) = watch::channel(None);
    let forward: Forward = match (&settings.clickhouse, engine) {
        (ClickHouseChoice::Server(target), _) => {
            sender.send_replace(Some(target.clone()));
            Box::pin(async move { sender.closed().await })
        }
        (ClickHouseChoice::Embedded { .. }, None) => Box::pin(ready(())),
        (ClickHouseChoice::Embedded { .. }, Some(engine)) => {
            let mut started = engine.0.endpoint.subscribe();
            Box::pin(async move {
                let endpoint = started.wait_for(Option::is_some).await;
                let endpoint = endpoint.ok().and_then(|endpoint| (*endpoint).clone());
                let Some(mut endpoint) = endpoint else { return };
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

/// Runs the projector on its own thread and runtime: a batch of clicks takes some milliseconds,
/// during which no redirect should wait.
fn spawn_projector(
    projector: Projector,
    retention: Option<Retention>,
    forward: Forward,
) -> anyhow::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("projector".to_owned()).spawn(move || {
        lower_priority();
        runtime.block_on(async {
            tokio::spawn(forward);
            let mut scheduler = Scheduler::default();
            if let Some(retention) = retention {
                let retention = Arc::new(retention);
                scheduler.every("retention", RETENTION_CHECKS, retention, |retention| async move {
                    retention.run().await;
                });
            }
            projector.run().await;
        });
    })?;
    Ok(thread)
}
