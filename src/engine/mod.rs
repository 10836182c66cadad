//! The embedded engine: a `ClickHouse` that slugline fetches, starts and supervises.
//!
//! # How it works
//!
//! The engine is `libchdb`, all of `ClickHouse` as one shared library, published as an npm package.
//! [`fetch`](fetch()) downloads it into the user's cache once; [`Engine::start`] runs slugline's
//! own binary as `slugline engine …`; that child process opens the library ([`run`]) and runs the
//! `clickhouse local` program inside it, with two statements:
//!
//! 1. `SYSTEM START LISTEN HTTP` opens `ClickHouse`'s own HTTP interface on a loopback port;
//! 2. `SELECT count() FROM table` reads standard input, and so blocks until the parent closes the
//!    pipe: this keeps the engine running, and stops it.
//!
//! It is a separate process because a database that runs out of memory or crashes must not take the
//! redirects down: it is restarted while links continue to resolve.
//!
//! # Security
//!
//! - The port is on 127.0.0.1, chosen at each start.
//! - The user `slugline` has all rights on the database [`DATABASE`], may read `system.*`, and has
//!   a random password generated at each start; only its hash is written, in a file of mode 0600.
//!   It may read neither files nor URLs.
//! - `clickhouse local` requires a user `default` without a password for its own session. It has
//!   the few grants the two statements need, and cannot connect over HTTP: the configuration only
//!   accepts requests that name the user `slugline` in their headers, and `ClickHouse` rejects a
//!   request that names its user in two ways.
//! - The child gets a minimal environment without slugline's tokens.
//!
//! # Failures and shutdown
//!
//! - **The child dies** (crash, out of memory, `kill -9`): the endpoint becomes `None`, and the
//!   supervisor starts another child after 200 ms, doubling up to 10 s, reset to 200 ms after a
//!   child has lived for a minute. The data is on disk. An interrupted insert is repaired before
//!   the start, so that it can be sent again.
//! - **The parent shuts down** ([`Engine::shutdown`]): the pipe is closed, the engine finishes its
//!   writes and exits; after the timeout it is killed.
//! - **The parent dies**: the kernel kills the child (Linux), the pipe closes, and the child's own
//!   watch on its parent ends it within two seconds.
//! - **Signals**: the child is in its own process group and ignores SIGINT, SIGTERM and SIGHUP.
//!   Ctrl-C, or a service manager's SIGTERM to the whole group, reaches slugline, which drains and
//!   then stops the engine.

mod backoff;
mod child;
mod config;
mod deduplication;
mod endpoint;
mod error;
mod fetch;
mod integrity;
mod library;
mod memory;
mod npm;
mod package;
mod probe;
mod progress;
mod supervise;
mod unpack;

pub use config::{EngineConfig, EngineOptions};
pub use endpoint::{DATABASE, Endpoint, Password, USER};
pub use error::{EngineError, FetchError};
pub use fetch::{FetchOptions, cached, default_cache_dir, fetch, fetch_as, refresh, version};
pub use library::{EngineArgs, run};
pub use memory::default_memory_bytes;
pub use package::{Entry, Package};
pub use progress::{Progress, ShouldStop};
pub use supervise::Engine;
