//! `slugline health`: whether a service responds, for containers and monitors.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use reqwest::blocking::{ClientBuilder, Response};
use tokio_rustls::rustls::RootCertStore;

use super::client::without_proxy_to_loopback;
use super::location::ServiceLocation;
use crate::app::control::Control;
use crate::effects::{http_client, system_roots};

/// How long the service may take to respond.
const TIMEOUT: Duration = Duration::from_secs(3);

/// `slugline health`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slugline health --data-dir /var/lib/slugline
  slugline health --url https://go.example.com")]
pub struct HealthArgs {
    #[command(flatten)]
    location: ServiceLocation,
}

/// Fails unless the service responds.
pub fn health(args: &HealthArgs, mut out: impl Write) -> anyhow::Result<()> {
    let ServiceLocation { url, data_dir, .. } = &args.location;
    let (url, builder) = if let Some(url) = url {
        // Proxies may keep `/livez` private.
        let url = format!("{}/docs/guides", url.trim_end_matches('/'));
        let builder = without_proxy_to_loopback(http_client(system_roots())?, &url);
        (url, builder)
    } else {
        let control = Control::read(data_dir)?.with_context(|| {
            format!("no service is running on the data folder {}", data_dir.display())
        })?;
        let builder = http_client(RootCertStore::empty())?.no_proxy();
        (format!("http://{}/livez", control.address), builder)
    };
    let client = ClientBuilder::from(builder).timeout(TIMEOUT).build()?;
    let response = client.get(&url).send().and_then(Response::error_for_status);
    let status = response.with_context(|| url.clone())?.status();
    ensure!(status.is_success(), "{url} answered {status}: does the URL lead to slugline?");
    Ok(writeln!(out, "{url} responds")?)
}
