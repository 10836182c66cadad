//! What is asked of the outside: names, and requests that no user may lead astray.

mod guard;
mod names;
mod outgoing;

pub use guard::{AllowedNets, Guard};
pub use names::{NameError, Names};
pub use outgoing::{Outgoing, OutgoingError};
