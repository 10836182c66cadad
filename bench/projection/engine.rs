//! The embedded ClickHouse without a running slugline, and its queries.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use slugline::engine::{
    Endpoint, Engine, EngineConfig, EngineOptions, Package, Progress, default_cache_dir, fetch,
};
use slugline::projections::clickhouse::Target;

use crate::machine::processor_time;

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_GRACE: Duration = Duration::from_secs(10);
/// The projector's, and the engine's.
const NICENESS: i32 = 10;

/// A running engine.
pub struct ClickHouse {
    engine: Engine,
    pub target: Target,
    /// Where it is, and others may have folders too.
    pub folder: PathBuf,
}

impl ClickHouse {
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let lib = fetch(&Package::engine()?, &default_cache_dir()?, Progress::Shown)?;
        let engine = Engine::start(EngineOptions {
            exe: env!("CARGO_BIN_EXE_slugline").into(),
            lib,
            data_dir: folder.join("clickhouse"),
            run_dir: folder.join("clickhouse-run"),
            config: EngineConfig::default(),
        })?;
        let endpoint = poll(START_LIMIT, || Ok(engine.endpoint().borrow().clone()))?;
        let Endpoint { url, user, password, database } = endpoint;
        let password = password.expose().to_owned();
        let target = Target { url, user, password, database };
        Ok(Self { engine, target, folder: folder.to_owned() })
    }

    /// Drops all that is there. The engine knows one database only, so the contenders take turns
    /// with it.
    pub async fn clear(&self) -> anyhow::Result<()> {
        let drop = "DROP DATABASE IF EXISTS {database:Identifier} SYNC";
        let drop = self.target.client_without_database().query(drop);
        Ok(drop.param("database", &self.target.database).execute().await?)
    }

    /// Checks that so many clicks are there, single and, where there are rollups, added up.
    pub async fn check(&self, clicks: u64, has_rollups: bool) -> anyhow::Result<()> {
        let client = self.target.client();
        let count = |query: &str| client.query(query).fetch_one::<u64>();
        let single = count("SELECT count() FROM clicks").await?;
        let summed = count("SELECT sum(clicks) FROM clicks_hourly").await?;
        anyhow::ensure!(
            single == clicks && summed == if has_rollups { clicks } else { 0 },
            "{clicks} clicks went, {single} are there, {summed} are added up"
        );
        Ok(())
    }

    /// The CPU time used by this process and the engine so far.
    pub fn processor_times(&self) -> anyhow::Result<[Duration; 2]> {
        let engine = self.engine.pid().context("the engine is gone")?;
        Ok([processor_time(std::process::id())?, processor_time(engine)?])
    }

    pub fn stop(self) {
        self.engine.shutdown(STOP_GRACE);
    }
}

/// Asks each millisecond until there is an answer.
pub fn poll<T>(
    limit: Duration,
    mut ask: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        anyhow::ensure!(started.elapsed() < limit, "nothing happened within {limit:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Runs what `make` makes as the service runs its projector: on a thread and a runtime of its
/// own, that lets others go first.
pub fn like_the_projector<T, F>(
    make: impl FnOnce() -> F + Send + 'static,
) -> anyhow::Result<std::thread::JoinHandle<anyhow::Result<T>>>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("projector".to_owned());
    Ok(thread.spawn(move || {
        rustix::process::nice(NICENESS).context("cannot stand back")?;
        runtime.block_on(make())
    })?)
}

/// The result of a thread.
pub fn join<T>(thread: std::thread::JoinHandle<anyhow::Result<T>>) -> anyhow::Result<T> {
    thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?
}
