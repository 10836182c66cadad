//! Where ClickHouse is at the moment, and the handle that queries read through.

use std::fmt;

use clickhouse::{Client, Compression};
use tokio::sync::watch;

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

/// The read handle: there when ClickHouse is up and its schema is applied.
#[derive(Clone)]
pub struct ClickHouse {
    client: watch::Receiver<Option<Client>>,
}

impl ClickHouse {
    /// The sender is the projector's, which says when the schema stands.
    pub fn new() -> (watch::Sender<Option<Client>>, Self) {
        let (sender, client) = watch::channel(None);
        (sender, Self { client })
    }

    /// A client to query with; `None` while ClickHouse is away.
    pub fn client(&self) -> Option<Client> {
        self.client.borrow().clone()
    }
}
