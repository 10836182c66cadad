//! The connection to ClickHouse, and the handle for reads.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::{Client, Compression};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::watch;

use super::chunks::Chunks;
use super::generation::Generation;
use super::status::{AsOf, Status};
use crate::log::Log;
use crate::projections::DeletionWatch;

/// After this, an idle connection is not used again. The engine closes those that are idle for longer
/// (`keep_alive_timeout`), and waits for open ones when it stops.
const IDLE_TIMEOUT: Duration = Duration::from_millis(500);

/// A ClickHouse server with an HTTP interface.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// `http://127.0.0.1:8123`
    pub url: String,
    /// The user.
    pub user: String,
    /// The password; never logged.
    pub password: String,
    /// The database, created if missing.
    pub database: String,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}/{}", self.user, self.url, self.database)
    }
}

impl Target {
    /// A client with its own connections.
    pub fn client(&self) -> Client {
        self.client_without_database().with_database(&self.database)
    }

    fn is_here(&self) -> bool {
        self.url.starts_with("http://127.0.0.1:") || self.url.starts_with("http://localhost:")
    }

    /// A client that can be used before the database exists.
    pub fn client_without_database(&self) -> Client {
        // On the same machine, compression costs more than it saves.
        let compression = if self.is_here() { Compression::None } else { Compression::Lz4 };
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(HttpConnector::new());
        Client::with_http_client(http)
            .with_compression(compression)
            .with_url(&self.url)
            .with_user(&self.user)
            .with_password(&self.password)
            .with_product_info("slugline", env!("CARGO_PKG_VERSION"))
    }
}

/// The client and the tables for a query.
#[derive(Clone)]
pub struct Reading {
    /// The client.
    pub client: Client,
    /// The generation of the tables in use.
    pub generation: Generation,
    /// Rollup rows with the chunk 0 have no click beyond this offset.
    pub(super) unnumbered_through: u64,
}

/// The handle for reads, usable while ClickHouse is up and its schema is applied.
#[derive(Clone)]
pub struct ClickHouse {
    pub(super) reading: watch::Receiver<Option<Reading>>,
    /// The progress of the projection.
    pub status: Arc<Status>,
    pub(super) log: Arc<dyn Log>,
    pub(super) forgotten: DeletionWatch,
}

impl ClickHouse {
    /// The client for a query; `None` while ClickHouse is unavailable.
    pub fn reading(&self) -> Option<Reading> {
        self.reading.borrow().clone()
    }

    /// The minimum snapshot of a query that starts now.
    pub fn as_of(&self) -> AsOf {
        self.status.as_of(self.log.end())
    }

    /// What can be read from rollups by chunk, of the clicks up to and including an offset.
    pub fn chunks_through(&self, offset: u64) -> Option<Chunks> {
        let unnumbered_through = self.reading.borrow().as_ref()?.unnumbered_through;
        Some(self.status.chunks_through(offset, unnumbered_through))
    }

    /// The last offset of the click log.
    pub fn log_end(&self) -> u64 {
        self.log.end()
    }

    /// Waits until the click log contains all deletions up to a mutation's offset; returns an
    /// offset at or after them. `None` after `limit`.
    pub async fn forgotten_by(&self, change: u64, limit: Duration) -> Option<u64> {
        self.forgotten.by(change, limit).await
    }
}
