//! What the handlers need from those who can look at a domain from outside.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use crate::domain::domains::Domain;

/// The proof was found nowhere: each place that was looked at, and what was there instead.
pub type Refutation = BTreeMap<&'static str, String>;

/// How a look at a domain ended without a proof.
#[derive(Debug)]
pub enum Unproven {
    /// It is not there.
    Refuted(Refutation),
    /// Too many are being looked at.
    Busy,
}

/// Looks whether a domain's owner shows its proof.
pub trait DomainProver: Send + Sync {
    /// Looks at each place where the proof may stand.
    fn prove<'a>(
        &'a self,
        domain: &'a Domain,
    ) -> Pin<Box<dyn Future<Output = Result<(), Unproven>> + Send + 'a>>;
}
