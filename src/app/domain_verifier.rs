//! Verifies the ownership of a domain: by a TXT record, or by a file on the host.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use url::Url;

use crate::domain::domains::Domain;
use crate::effects::{Limits, Names, Outgoing};
use crate::http::domain_verifier::{DomainVerifier, FailedChecks, VerificationFailed};
use crate::limits::VERIFICATION_CONCURRENCY;

/// The limits of fetching a file.
const FILE_LIMITS: Limits = Limits { time: Duration::from_secs(8), body_bytes: 4 << 10 };

/// Verifies domains over the network.
pub struct RemoteDomainVerifier {
    names: Names,
    outgoing: Outgoing,
    permits: Semaphore,
}

impl RemoteDomainVerifier {
    /// Creates a verifier with these clients.
    pub fn new(names: Names, outgoing: Outgoing) -> Self {
        Self { names, outgoing, permits: Semaphore::new(VERIFICATION_CONCURRENCY) }
    }

    async fn check(&self, domain: &Domain) -> Result<(), VerificationFailed> {
        let Ok(_permit) = self.permits.try_acquire() else { return Err(VerificationFailed::Busy) };
        let mut checks = JoinSet::new();
        if let Some(name) = Domain::proof_name(&domain.hostname) {
            let (names, proof) = (self.names.clone(), domain.proof());
            checks.spawn(async move { ("dns", check_dns(&names, &name, &proof).await) });
        }
        for scheme in ["http", "https"] {
            let (outgoing, proof) = (self.outgoing.clone(), domain.proof());
            let url = format!("{scheme}://{}{}", domain.hostname, Domain::PROOF_PATH);
            checks.spawn(async move { (scheme, check_file(&outgoing, &url, &proof).await) });
        }
        let mut failed = FailedChecks::new();
        while let Some(checked) = checks.join_next().await {
            match checked {
                // The remaining lookups are aborted when the set is dropped.
                Ok((_, Ok(()))) => return Ok(()),
                Ok((check_name, Err(reason))) => {
                    failed.insert(check_name, reason);
                }
                Err(error) => tracing::error!(%error, "verifying a domain panicked"),
            }
        }
        Err(VerificationFailed::NotVerified(failed))
    }
}

impl DomainVerifier for RemoteDomainVerifier {
    fn verify<'a>(
        &'a self,
        domain: &'a Domain,
    ) -> Pin<Box<dyn Future<Output = Result<(), VerificationFailed>> + Send + 'a>> {
        Box::pin(self.check(domain))
    }
}

async fn check_dns(names: &Names, name: &str, proof: &str) -> Result<(), String> {
    let texts = names.texts(name).await.map_err(|error| error.to_string())?;
    if texts.iter().any(|text| text.trim() == proof) {
        return Ok(());
    }
    Err(format!("{name} has no TXT record with the text {proof}"))
}

async fn check_file(outgoing: &Outgoing, url: &str, proof: &str) -> Result<(), String> {
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    let bytes = outgoing.get(&url, FILE_LIMITS).await.map_err(|error| error.to_string())?;
    if String::from_utf8_lossy(&bytes).lines().any(|line| line.trim() == proof) {
        return Ok(());
    }
    Err(format!("{url} does not say {proof}"))
}
