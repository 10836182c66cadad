//! `slugline health`: whether a service responds, for containers and monitors.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use reqwest::blocking::{ClientBuilder, Response};
use tokio_rustls::rustls::RootCertStore;
use url::Url;

use super::client::plain_client;
use super::location::ServiceLocation;
use crate::app::control::Control;
use crate::effects::http_client;

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
    if let Some(url) = url {
        return Ok(writeln!(out, "{} responds", guides_of(&Url::parse(url)?, TIMEOUT)?)?);
    }
    let control = Control::read(data_dir)?.with_context(|| {
        format!("no service is running on the data folder {}", data_dir.display())
    })?;
    let builder = http_client(RootCertStore::empty())?.no_proxy();
    let client = ClientBuilder::from(builder).timeout(TIMEOUT).build()?;
    let url = format!("http://{}/livez", control.address);
    let answer = client.get(&url).send().and_then(Response::error_for_status);
    answer.with_context(|| url.clone())?;
    Ok(writeln!(out, "{url} responds")?)
}

/// The guides of the service at a URL: proxies may keep `/livez` private.
///
/// # Errors
/// If something else answers, or nothing.
pub fn guides_of(url: &Url, timeout: Duration) -> anyhow::Result<Url> {
    let guides = url.join("/docs/guides")?;
    let client = plain_client(guides.as_str(), timeout)?;
    let response = client.get(guides.clone()).send().map_err(reqwest::Error::without_url);
    let response = response.with_context(|| format!("{url} does not answer"))?;
    let (status, page) = (response.status(), response.text().unwrap_or_default());
    let is_ours = status.is_success() && page.contains("slugline");
    ensure!(is_ours, "{guides} is answered {status}: does the URL lead to slugline?");
    Ok(guides)
}
