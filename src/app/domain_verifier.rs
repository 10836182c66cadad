//! Verifies the ownership of a domain: by a TXT record, or by a file on the host.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use url::Url;

use crate::domain::domains::Domain;
use crate::effects::{Limits, Names, Outgoing};
use crate::http::proof::{DomainProver, Refutation, Unproven};

/// The maximum number of concurrent verifications.
const MAX_AT_ONCE: usize = 16;
/// The limits of fetching a file.
const FILE_LIMITS: Limits = Limits { time: Duration::from_secs(8), body_bytes: 4 << 10 };

/// Verifies domains over the network.
pub struct RemoteDomainVerifier {
    names: Names,
    outgoing: Outgoing,
    places: Semaphore,
}

impl RemoteDomainVerifier {
    /// With these clients.
    pub fn new(names: Names, outgoing: Outgoing) -> Self {
        Self { names, outgoing, places: Semaphore::new(MAX_AT_ONCE) }
    }

    async fn look(&self, domain: &Domain) -> Result<(), Unproven> {
        let Ok(_place) = self.places.try_acquire() else { return Err(Unproven::Busy) };
        let mut looks = JoinSet::new();
        if let Some(name) = Domain::proof_name(&domain.hostname) {
            let (names, proof) = (self.names.clone(), domain.proof());
            looks.spawn(async move { ("dns", in_dns(&names, &name, &proof).await) });
        }
        for scheme in ["http", "https"] {
            let (outgoing, proof) = (self.outgoing.clone(), domain.proof());
            let url = format!("{scheme}://{}{}", domain.hostname, Domain::PROOF_PATH);
            looks.spawn(async move { (scheme, in_file(&outgoing, &url, &proof).await) });
        }
        let mut refutation = Refutation::new();
        while let Some(looked) = looks.join_next().await {
            match looked {
                // The remaining lookups are aborted when the set is dropped.
                Ok((_, Ok(()))) => return Ok(()),
                Ok((place, Err(reason))) => {
                    refutation.insert(place, reason);
                }
                Err(error) => tracing::error!(%error, "verifying a domain panicked"),
            }
        }
        Err(Unproven::Refuted(refutation))
    }
}

impl DomainProver for RemoteDomainVerifier {
    fn prove<'a>(
        &'a self,
        domain: &'a Domain,
    ) -> Pin<Box<dyn Future<Output = Result<(), Unproven>> + Send + 'a>> {
        Box::pin(self.look(domain))
    }
}

async fn in_dns(names: &Names, name: &str, proof: &str) -> Result<(), String> {
    let texts = names.texts(name).await.map_err(|error| error.to_string())?;
    if texts.iter().any(|text| text.trim() == proof) {
        return Ok(());
    }
    Err(format!("{name} has no TXT record with the text {proof}"))
}

async fn in_file(outgoing: &Outgoing, url: &str, proof: &str) -> Result<(), String> {
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    let bytes = outgoing.get(&url, FILE_LIMITS).await.map_err(|error| error.to_string())?;
    if String::from_utf8_lossy(&bytes).lines().any(|line| line.trim() == proof) {
        return Ok(());
    }
    Err(format!("{url} does not say {proof}"))
}
