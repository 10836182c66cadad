//! What is asked of the outside: names, requests that no user may lead astray, and certificates.

pub mod acme;
mod guard;
mod names;
mod outgoing;
mod tls;

pub use guard::{AllowedNets, Guard};
pub use names::{NameError, Names};
pub use outgoing::{Outgoing, OutgoingError};
