//! A ClickHouse server that a test runs and inspects.

use std::path::Path;
use std::time::Duration;

use slugline::engine::{
    Endpoint, Engine, EngineConfig, EngineOptions, Package, Progress, default_cache_dir, fetch,
};
use tempfile::TempDir;

use super::{Options, eventually};

/// The engine without slugline, as a separate ClickHouse server.
pub struct ClickHouseServer {
    engine: Option<Engine>,
    pub endpoint: Endpoint,
    _folder: TempDir,
}

impl ClickHouseServer {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("clickhouse");
        Self::run(folder, &data)
    }

    /// Over the tables that a slugline has left, which runs no longer.
    pub fn with_data(data: &Path) -> Self {
        Self::run(tempfile::tempdir().unwrap(), data)
    }

    fn run(folder: TempDir, data: &Path) -> Self {
        let cache = default_cache_dir().unwrap();
        let lib = fetch(&Package::engine().unwrap(), &cache, Progress::Shown).unwrap();
        let engine = Engine::start(EngineOptions {
            exe: env!("CARGO_BIN_EXE_slugline").into(),
            lib,
            data_dir: data.to_owned(),
            run_dir: folder.path().join("run"),
            config: EngineConfig::default(),
        })
        .unwrap();
        let endpoint = eventually("the engine is up", || engine.endpoint().borrow().clone());
        Self { engine: Some(engine), endpoint, _folder: folder }
    }

    /// Has a slugline use it.
    pub fn serve(&self, options: Options) -> Options {
        self.serve_at(&self.endpoint.url, options)
    }

    /// The same by another way to it.
    pub fn serve_at(&self, url: &str, options: Options) -> Options {
        options
            .flag("--clickhouse-url", url)
            .flag("--clickhouse-user", &self.endpoint.user)
            .env("SLUGLINE_CLICKHOUSE_PASSWORD", self.endpoint.password.expose())
            .flag("--clickhouse-database", &self.endpoint.database)
    }

    /// The result of a statement, as text.
    #[track_caller]
    pub fn sql(&self, statement: &str) -> String {
        let Endpoint { url, database, .. } = &self.endpoint;
        let answer = super::client()
            .post(format!("{url}/?database={database}&mutations_sync=2"))
            .header("X-ClickHouse-User", &self.endpoint.user)
            .header("X-ClickHouse-Key", self.endpoint.password.expose())
            .body(statement.to_owned())
            .send()
            .unwrap();
        let (status, text) = (answer.status(), answer.text().unwrap());
        assert!(status.is_success(), "{statement}: {text}");
        text.trim().to_owned()
    }
}

impl Drop for ClickHouseServer {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.shutdown(Duration::from_secs(5));
        }
    }
}
