//! Click counts from three sources: the generator, the log and the analytics.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::slugline::{Api, EXECUTABLE};

const POLL: Duration = Duration::from_millis(200);
/// The timeout for slugline to project the clicks of a phase.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);

/// The number of clicks, by each counter.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Counts {
    /// The redirects that the generator received from slugline.
    pub answered: u64,
    /// The clicks in the log.
    pub in_log: u64,
    /// The clicks that the analytics know of.
    pub in_clickhouse: u64,
}

impl Counts {
    /// Whether no click was lost or counted twice.
    pub const fn equal(&self) -> bool {
        self.answered == self.in_log && self.answered == self.in_clickhouse
    }
}

/// Waits until the analytics know of `answered` clicks, bounded; returns how many they know.
///
/// The work that slugline does after a phase must not fall into the other server's turn.
pub async fn settle(api: &Api, answered: u64) -> anyhow::Result<u64> {
    let deadline = Instant::now() + SETTLE_LIMIT;
    loop {
        // A question that is refused while the projection catches up is asked again.
        match clicks_in_clickhouse(api).await {
            Ok(clicks) if clicks >= answered || Instant::now() > deadline => return Ok(clicks),
            Err(error) if Instant::now() > deadline => return Err(error),
            Ok(_) | Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}

/// The clicks that slugline's analytics know of; two days, lest midnight part them.
pub async fn clicks_in_clickhouse(api: &Api) -> anyhow::Result<u64> {
    let answer = api.get("/api/v1/analytics?unit=day&units=2&bots=include").await?;
    answer
        .pointer("/data/total_clicks")
        .and_then(Value::as_u64)
        .context("the analytics have no data.total_clicks")
}

/// slugline's reported projection status.
pub async fn projection(api: &Api) -> anyhow::Result<Value> {
    api.get("/readyz").await
}

/// The clicks in the log, read from its files while slugline is stopped.
pub fn clicks_in_log(data_dir: &Path) -> anyhow::Result<u64> {
    let verified = Command::new(EXECUTABLE)
        .args(["log", "verify", "--json", "--data-dir"])
        .arg(data_dir)
        .output()
        .context("cannot run slugline log verify")?;
    ensure!(
        verified.status.success(),
        "slugline log verify: {}",
        String::from_utf8_lossy(&verified.stderr).trim()
    );
    let answer: Value =
        serde_json::from_slice(&verified.stdout).context("slugline log verify answered no JSON")?;
    answer
        .pointer("/clicks/kinds/Click")
        .and_then(Value::as_u64)
        .context("slugline log verify counted no clicks")
}
