//! The analytics' side of the house: the click log, ClickHouse, and the projector between them.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::clicks::Recorder;
use crate::config::{ClickHouseChoice, Settings, Source};
use crate::engine::{self, Engine, EngineConfig, EngineOptions, Package, Progress};
use crate::log::Log;
use crate::projections::clickhouse::{ClickHouse, Operator, Projector, Retention, Target};
use crate::projections::{Forgotten, lower_priority};

/// How long the last clicks may take into ClickHouse at the end; what is left goes at the next
/// start.
const LAST_PROJECTION: Duration = Duration::from_secs(3);
/// How often the redirects' pause is adapted to the lag.
const PACE_EVERY: Duration = Duration::from_millis(250);
const ENGINE_SHUTDOWN: Duration = Duration::from_secs(10);

/// ClickHouse and the projector, running.
pub struct AnalyticsSide {
    engine: Option<Engine>,
    /// To read with.
    pub clickhouse: ClickHouse,
    /// For those who run the service.
    pub operator: Operator,
    stop: watch::Sender<bool>,
    projector: JoinHandle<()>,
}

impl AnalyticsSide {
    /// Follows the log with this engine, or with the ClickHouse that the settings name. `forgotten`
    /// tells which deleted links the log has.
    pub fn open(
        settings: &Settings,
        clicks: &Arc<Log>,
        forgotten: Forgotten,
        engine: Option<Engine>,
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

    /// Projects what the log holds, for a while, and then ends the engine.
    pub fn close(self) {
        self.stop.send_replace(true);
        let waited = Instant::now();
        while !self.projector.is_finished() && waited.elapsed() < LAST_PROJECTION {
            std::thread::sleep(Duration::from_millis(10));
        }
        if let Some(engine) = self.engine {
            engine.shutdown(ENGINE_SHUTDOWN);
        }
    }
}

/// Starts the engine, unless the settings name a ClickHouse.
pub fn start_engine(settings: &Settings) -> anyhow::Result<Option<Engine>> {
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

/// Has redirects leave the analytics processor time while these lag, for as long as the service
/// runs. Where ClickHouse is away, or on another machine, that would gain nothing.
pub async fn keep_pace(recorder: Arc<Recorder>, clickhouse: ClickHouse) {
    loop {
        tokio::time::sleep(PACE_EVERY).await;
        let is_connected = clickhouse.status().is_connected();
        recorder.pacing.follow(if is_connected { clickhouse.as_of().lag_ms } else { 0 });
    }
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
            if let Some(retention) = retention {
                tokio::spawn(retention.run());
            }
            projector.run().await;
        });
    })?;
    Ok(thread)
}
