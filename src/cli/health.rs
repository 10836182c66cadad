//! `slugline health`: whether the service of a data folder responds, for containers.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use reqwest::blocking::{ClientBuilder, Response};
use tokio_rustls::rustls::RootCertStore;

use crate::app::control::Control;
use crate::effects::http_client;

/// How long the service may take to respond.
const TIMEOUT: Duration = Duration::from_secs(3);

/// `slugline health`
#[derive(Debug, Args)]
#[command(after_help = "Example:
  slugline health --data-dir /var/lib/slugline")]
pub struct HealthArgs {
    /// The data folder of the running service
    #[arg(long, env = "SLUGLINE_DATA_DIR", value_name = "FOLDER", default_value = "data")]
    data_dir: PathBuf,
}

/// Fails unless the service responds.
pub fn health(args: &HealthArgs, mut out: impl Write) -> anyhow::Result<()> {
    let control = Control::read(&args.data_dir).with_context(|| {
        format!("no service is running on the data folder {}", args.data_dir.display())
    })?;
    let builder = http_client(RootCertStore::empty())?.no_proxy();
    let client = ClientBuilder::from(builder).timeout(TIMEOUT).build()?;
    let url = format!("http://{}/livez", control.address);
    let answer = client.get(&url).send().and_then(Response::error_for_status);
    answer.with_context(|| url.clone())?;
    Ok(writeln!(out, "{url} responds")?)
}
