//! Fetches logos from URLs that users choose.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::timeout;
use url::Url;

use crate::domain::ids::WorkspaceId;
use crate::effects::{Limits, Outgoing};
use crate::http::qr_codes::logos::{FetchFailed, LogoFetcher};
use crate::limits::{LOGO_FETCH_CONCURRENCY, LOGO_FETCH_QUEUE_TIMEOUT, LOGO_FETCHES_PER_WORKSPACE};
use crate::queries::WorkspaceLimiter;

const TIMEOUT: Duration = Duration::from_secs(8);

/// Fetches logos over the network.
pub struct RemoteLogoFetcher {
    outgoing: Outgoing,
    permits: Permits,
}

/// Limits the concurrent fetches of each workspace, then those of all.
struct Permits {
    workspaces: WorkspaceLimiter,
    all: Semaphore,
}

impl Permits {
    fn new() -> Self {
        let workspaces = WorkspaceLimiter::new(LOGO_FETCHES_PER_WORKSPACE);
        Self { workspaces, all: Semaphore::new(LOGO_FETCH_CONCURRENCY) }
    }

    /// `None` after `wait`.
    async fn acquire(
        &self,
        workspace: WorkspaceId,
        wait: Duration,
    ) -> Option<(OwnedSemaphorePermit, SemaphorePermit<'_>)> {
        let acquire = async {
            let own = self.workspaces.acquire(workspace).await?;
            Some((own, self.all.acquire().await.ok()?))
        };
        timeout(wait, acquire).await.ok().flatten()
    }
}

impl RemoteLogoFetcher {
    /// Creates a fetcher with this client.
    pub fn new(outgoing: Outgoing) -> Self {
        Self { outgoing, permits: Permits::new() }
    }

    async fn get(
        &self,
        workspace: WorkspaceId,
        url: &str,
        body_bytes: usize,
    ) -> Result<Vec<u8>, FetchFailed> {
        let url = Url::parse(url).ok().filter(|url| url.scheme() == "https");
        let rule = || FetchFailed::Refused("must be an https URL".to_owned());
        let url = url.ok_or_else(rule)?;
        let permit = self.permits.acquire(workspace, LOGO_FETCH_QUEUE_TIMEOUT).await;
        let _permit = permit.ok_or(FetchFailed::Busy)?;
        let got = self.outgoing.get(&url, Limits { time: TIMEOUT, body_bytes }).await;
        let got = got.map_err(|error| FetchFailed::Refused(format!("cannot be read: {error}")))?;
        Ok(got.into())
    }
}

impl LogoFetcher for RemoteLogoFetcher {
    fn fetch<'a>(
        &'a self,
        workspace: WorkspaceId,
        url: &'a str,
        max_bytes: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, FetchFailed>> + Send + 'a>> {
        Box::pin(self.get(workspace, url, max_bytes))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn a_workspace_leaves_fetches_to_the_others() {
        let permits = Permits::new();
        let [one, other] = [1, 2].map(|number| WorkspaceId::new(Uuid::from_u128(number)));
        let long = Duration::from_secs(60);
        let mut held = Vec::new();
        for _ in 0..LOGO_FETCHES_PER_WORKSPACE {
            held.push(permits.acquire(one, long).await.unwrap());
        }
        assert!(permits.acquire(one, Duration::from_millis(1)).await.is_none());
        assert!(permits.acquire(other, long).now_or_never().flatten().is_some());
        let mut waiting = std::pin::pin!(permits.acquire(one, long));
        assert!((&mut waiting).now_or_never().is_none());
        held.pop();
        assert!(waiting.await.is_some());
    }
}
