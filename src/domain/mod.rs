//! The domain model and its rules. Pure: no I/O, no async, no clock, no randomness.

pub mod action;
pub mod amendment;
pub mod blocklist;
pub mod click;
pub mod command;
pub mod country;
pub mod csv_cell;
pub mod deserialize_error;
pub mod destination;
pub mod domains;
pub mod envelope;
pub mod error;
pub mod event;
pub mod hostname;
pub mod ids;
pub mod link;
pub mod mail;
pub mod money;
mod named;
pub mod nearest;
pub mod plan;
pub mod preset;
pub mod qr;
pub mod referrer;
pub mod report;
pub mod retention;
pub mod rule;
pub mod session;
pub mod slug;
pub mod token;
pub mod user;
pub mod utm;
pub mod wire;
pub mod workspace;

pub(crate) use named::named_enum;
