//! The embedded engine: a `ClickHouse` that slugline fetches, starts and keeps alive itself.
//!
//! # How it works
//!
//! The engine is `libchdb`, the whole of `ClickHouse` as one shared library, published as an
//! npm package. [`fetch`](fetch()) brings it into the user's cache once; [`Engine::start`]
//! runs slugline's own binary again as `slugline engine …`; that child process opens the
//! library ([`run`]) and runs the `clickhouse local` program inside it, with two statements:
//!
//! 1. `SYSTEM START LISTEN HTTP` opens `ClickHouse`'s own HTTP interface on a loopback port;
//! 2. `SELECT count() FROM table` reads standard input, and so blocks until the parent closes
//!    the pipe: this is what keeps the engine up, and what stops it.
//!
//! A separate process, because a database that runs out of memory or crashes must not take
//! the redirects down with it: it is restarted while links go on resolving.
//!
//! # Security
//!
//! - The port is on 127.0.0.1, picked anew at each start.
//! - The user `slugline` has all rights on the database [`DATABASE`], may read `system.*`, and
//!   has a random password made anew at each start; only its hash is written, in a file of mode
//!   0600. It may read neither files nor URLs.
//! - `clickhouse local` insists on a user `default` without a password for its own session. It
//!   has the few grants the two statements need, and it cannot come in by HTTP at all: the
//!   configuration answers only requests that name the user `slugline` in their headers, and
//!   `ClickHouse` refuses a request that gives its user in two ways.
//! - The child gets a bare environment: no token of slugline's is in it.
//!
//! # Who dies, and what follows
//!
//! - **The child** (crash, out of memory, `kill -9`): the endpoint becomes `None`, and the
//!   supervisor starts another after 200 ms, doubling up to 10 s, back to 200 ms once a child
//!   has lived for a minute. The data is on disk and stays.
//! - **The parent, in order** ([`Engine::shutdown`]): the pipe is closed, the engine finishes
//!   what it is writing and exits; past the timeout it is killed.
//! - **The parent, in any other way**: the kernel kills the child (Linux), the pipe closes
//!   (everywhere), and a watch in the child on its parent ends it within two seconds (everywhere).
//! - **Signals**: the child is in a process group of its own and ignores SIGINT, SIGTERM and
//!   SIGHUP. Ctrl-C, or a service manager's SIGTERM to the whole group, reaches slugline, which
//!   drains and then stops the engine.

mod backoff;
mod child;
mod config;
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

pub use config::EngineConfig;
pub use endpoint::{DATABASE, Endpoint, Password, USER};
pub use error::{EngineError, FetchError};
pub use fetch::{default_cache_dir, fetch, renew};
pub use library::{EngineArgs, run};
pub use memory::default_memory_bytes;
pub use package::{Entry, Package};
pub use progress::Progress;
pub use supervise::{Engine, EngineOptions};
