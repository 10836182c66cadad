//! slugline: a self-hosted link service whose source of truth is an event log.
//!
//! The rooms, in the order the data flows:
//!
//! | room | what happens there |
//! |---|---|
//! | [`config`] | settings are read, once |
//! | [`app`] | everything is opened, spawned and shut down, in order |
//! | [`http`] | requests come in; redirects are answered in front of the router |
//! | [`commands`] | one writer decides what changes, and makes it last |
//! | [`imports`] | links come in from elsewhere: files become commands, row by row |
//! | [`domain`] | the words and their rules: links, slugs, tokens, events; pure |
//! | [`clicks`] | a visit becomes a click, step by step |
//! | [`log`] | events are appended, synced, read and recovered |
//! | [`projections`] | the log is folded: into the index (sled), into ClickHouse |
//! | [`effects`] | the outside is asked, where no user may lead it astray |
//! | [`queries`] | questions are answered from the projections |
//! | [`engine`] | the embedded ClickHouse is fetched, started and supervised |
//! | [`maintenance`] | the logs are looked at without a service |
//!
//! A change: `http` → `commands` → `log` → `projections::index` → answer. A click: `http` →
//! `clicks` → `log` → answer, and later `projections::clickhouse` → `queries`.

pub mod app;
pub mod clicks;
pub mod commands;
pub mod config;
pub mod domain;
pub mod effects;
pub mod engine;
pub mod http;
pub mod imports;
pub mod log;
pub mod maintenance;
pub mod projections;
pub mod queries;
