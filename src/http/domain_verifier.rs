//! The interface for verifying the ownership of domains.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use crate::domain::domains::Domain;

/// The failed checks: each place, and what was found instead of the token.
pub type FailedChecks = BTreeMap<&'static str, String>;

/// Why a domain could not be verified.
#[derive(Debug)]
pub enum VerificationFailed {
    /// The verification token was not found.
    NotVerified(FailedChecks),
    /// Too many verifications are running.
    Busy,
}

/// Verifies that a domain's owner publishes its verification token.
pub trait DomainVerifier: Send + Sync {
    /// Checks each place where the token may be published.
    fn verify<'a>(
        &'a self,
        domain: &'a Domain,
    ) -> Pin<Box<dyn Future<Output = Result<(), VerificationFailed>> + Send + 'a>>;
}
