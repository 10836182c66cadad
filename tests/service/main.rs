//! The service as its users meet it: the real program, over HTTP, with the real embedded
//! ClickHouse.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod analytics;
mod away;
mod backup;
mod bad_input;
mod bad_requests;
mod blocklist;
mod browser;
mod bulk;
mod campaigns;
mod clicks;
mod connection_limits;
mod connections;
mod corpora;
mod crawler_list;
mod deletion;
mod domains;
mod durability;
mod exports;
mod freshness;
mod gates;
#[allow(dead_code, reason = "other tests use the rest of it")]
mod harness;
mod history;
mod http_security;
mod imports;
mod link_lists;
mod links;
mod operation;
mod order;
mod pages;
mod permissions;
mod privacy;
mod queries;
mod reclassify;
mod reconcile;
mod redirects;
mod repeated;
mod reports;
mod retention;
mod routing;
mod search;
mod tokens;
mod unlocking;
mod upgrade;
