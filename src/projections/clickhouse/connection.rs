//! Where ClickHouse is at the moment, and the handle that queries read through.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::{Client, Compression};
use tokio::sync::watch;

use super::generation::Generation;
use super::status::{AsOf, Status};
use crate::log::Log;
use crate::projections::Forgotten;

/// A ClickHouse to talk to over HTTP.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// `http://127.0.0.1:8123`
    pub url: String,
    /// The user.
    pub user: String,
    /// The user's password; never logged.
    pub password: String,
    /// The database, made if absent.
    pub database: String,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}/{}", self.user, self.url, self.database)
    }
}

impl Target {
    /// A client with connections of its own.
    pub fn client(&self) -> Client {
        self.client_without_database().with_database(&self.database)
    }

    fn is_here(&self) -> bool {
        self.url.starts_with("http://127.0.0.1:") || self.url.starts_with("http://localhost:")
    }

    /// A client for the moment before the database is there.
    pub fn client_without_database(&self) -> Client {
        // On this very machine, to compress and to expand costs more than the bytes do.
        let compression = if self.is_here() { Compression::None } else { Compression::Lz4 };
        Client::default()
            .with_compression(compression)
            .with_url(&self.url)
            .with_user(&self.user)
            .with_password(&self.password)
            .with_product_info("slugline", env!("CARGO_PKG_VERSION"))
    }
}

/// What a question is put to: ClickHouse, and the tables in use.
#[derive(Clone)]
pub struct Reading {
    /// The client to query with.
    pub client: Client,
    /// Whose tables are in use.
    pub generation: Generation,
}

/// The read handle: there when ClickHouse is up and its schema is applied.
#[derive(Clone)]
pub struct ClickHouse {
    pub(super) reading: watch::Receiver<Option<Reading>>,
    pub(super) status: Arc<Status>,
    pub(super) log: Arc<Log>,
    pub(super) forgotten: Forgotten,
}

impl ClickHouse {
    /// What to put a question to; `None` while ClickHouse is away.
    pub fn reading(&self) -> Option<Reading> {
        self.reading.borrow().clone()
    }

    /// What an answer reflects at least that is asked for now.
    pub fn as_of(&self) -> AsOf {
        self.status.as_of(self.log.end())
    }

    /// The last offset of the click log.
    pub fn log_end(&self) -> u64 {
        self.log.end()
    }

    /// Waits until an offset is projected; `false` when that takes longer than `limit`.
    pub async fn reached(&self, offset: u64, limit: Duration) -> bool {
        self.status.reached(offset, limit).await
    }

    /// Waits until the click log has each link that was deleted by the change at an offset or
    /// before; returns an offset by which it has. `None` when that takes longer than `limit`.
    pub async fn forgotten_by(&self, change: u64, limit: Duration) -> Option<u64> {
        self.forgotten.by(change, limit).await
    }

    /// How far the projection is.
    pub fn status(&self) -> &Status {
        &self.status
    }
}
