//! Outgoing requests: DNS lookups, guarded HTTP requests to URLs that users choose, ACME, and mail.

pub mod acme;
mod client;
mod guard;
pub mod mail;
mod names;
mod outgoing;

pub use client::{http_client, system_roots};
pub use guard::{AllowedNets, Guard};
pub use names::{NameError, Names};
pub use outgoing::{Limits, Outgoing, OutgoingError};
