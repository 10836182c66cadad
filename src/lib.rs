//! slugline: a self-hosted link service whose source of truth is an event log.
//!
//! Modules, in the order in which data flows:
//!
//! | module | responsibility |
//! |---|---|
//! | [`cli`] | the command line, one file per subcommand |
//! | [`config`] | typed settings, read once |
//! | [`app`] | the composition root: opens, starts and shuts down all parts in order |
//! | [`http`] | transport, redirects, the native API, visitor pages |
//! | [`commands`] | the single writer: decide, append, apply, answer |
//! | [`domain`] | aggregates, commands and events with their rules; pure |
//! | [`clicks`] | enrichment: a visit becomes a click, step by step |
//! | [`identity`] | what proves who somebody is: passwords, TOTP, session tokens; the keys of personal data |
//! | [`log`] | the event log: append, sync, read, follow, recover |
//! | [`sst`] | immutable sorted tables on disk; knows nothing of links |
//! | [`projections`] | projections of the log: the index (sled over an SST) and the ClickHouse
//! tables |
//! | [`effects`] | guarded outgoing requests, DNS lookups, ACME, mail |
//! | [`queries`] | reads of the projections: links, analytics, history |
//! | [`jobs`] | the job runner and the scheduler; imports of links, exports of clicks |
//! | [`qr`] | draws QR codes; knows nothing of links |
//! | [`engine`] | the embedded ClickHouse: fetch, start, supervise |
//! | [`limits`] | limits and timeouts; retention periods are in [`domain::retention`] |
//! | [`metrics`] | the names and help texts of all metrics |
//!
//! A mutation: `http` → `commands` → `log` → `projections::index` → response. A click: `http` →
//! `clicks` → `log` → response, and later `projections::clickhouse` → `queries`.

// The simulated disk of the log's unit tests belongs to `tests/simulation`.
#[cfg(test)]
extern crate self as slugline;

pub mod app;
pub mod cli;
pub mod clicks;
pub mod commands;
pub mod config;
pub mod domain;
pub mod effects;
pub mod engine;
pub mod http;
pub mod identity;
pub mod jobs;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod projections;
pub mod qr;
pub mod queries;
pub mod sst;
