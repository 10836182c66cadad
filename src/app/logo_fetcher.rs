//! Fetches logos from URLs that users choose.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::Semaphore;
use url::Url;

use crate::effects::{Limits, Outgoing};
use crate::http::qr_codes::logos::{FetchFailed, LogoFetcher};
use crate::limits::LOGO_FETCH_CONCURRENCY;

const TIMEOUT: Duration = Duration::from_secs(8);

/// Fetches logos over the network.
pub struct RemoteLogoFetcher {
    outgoing: Outgoing,
    permits: Semaphore,
}

impl RemoteLogoFetcher {
    /// Creates a fetcher with this client.
    pub fn new(outgoing: Outgoing) -> Self {
        Self { outgoing, permits: Semaphore::new(LOGO_FETCH_CONCURRENCY) }
    }

    async fn get(&self, url: &str, body_bytes: usize) -> Result<Vec<u8>, FetchFailed> {
        let url = Url::parse(url).ok().filter(|url| url.scheme() == "https");
        let rule = || FetchFailed::Refused("must be an https URL".to_owned());
        let url = url.ok_or_else(rule)?;
        let Ok(_permit) = self.permits.try_acquire() else { return Err(FetchFailed::Busy) };
        let got = self.outgoing.get(&url, Limits { time: TIMEOUT, body_bytes }).await;
        let got = got.map_err(|error| FetchFailed::Refused(format!("cannot be read: {error}")))?;
        Ok(got.into())
    }
}

impl LogoFetcher for RemoteLogoFetcher {
    fn fetch<'a>(
        &'a self,
        url: &'a str,
        max_bytes: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, FetchFailed>> + Send + 'a>> {
        Box::pin(self.get(url, max_bytes))
    }
}
