//! The health and the metrics of the service, for operators.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::downloads::States;
use super::process;
use crate::clicks::Recorder;
use crate::commands::Commands;
use crate::http::health::{Health, LogState, Logs, Projection, Projections, Reconciled, Report};
use crate::http::response_counts;
use crate::http::transport::tls::Certificates;
use crate::jobs::Scheduler;
use crate::log::Log;
use crate::metrics as names;
use crate::projections::clickhouse::ClickHouse;
use crate::projections::index::Index;

/// How often recorded durations are aggregated into histograms.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// The buckets of durations, in seconds: from ten microseconds (a redirect) to ten seconds.
const BUCKETS: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Collects the health of all parts.
pub struct HealthReporter {
    pub commands: Commands,
    pub mutations: Arc<dyn Log>,
    pub clicks: Arc<dyn Log>,
    pub index: Arc<Index>,
    pub clickhouse: ClickHouse,
    pub recorder: Arc<Recorder>,
    /// `None` without TLS.
    pub certificates: Option<Arc<Certificates>>,
    pub metrics: PrometheusHandle,
    pub downloads: Arc<States>,
}

impl Health for HealthReporter {
    fn report(&self) -> Report {
        let projection = |is_up: bool, offset: u64, log_end: u64, lag_ms: u64| Projection {
            state: if is_up { "up" } else { "away" },
            offset,
            log_end,
            lag_events: log_end.saturating_sub(offset),
            lag_ms,
            reconciled: None,
        };
        let log_state = |log: &dyn Log| LogState {
            state: if log.poisoned().is_none() { "up" } else { "stopped" },
            reason: log.poisoned().map(str::to_owned),
            end: log.end(),
            synced: log.synced(),
        };
        let logs =
            Logs { mutations: log_state(&*self.mutations), clicks: log_state(&*self.clicks) };
        let is_whole = logs.mutations.reason.is_none() && logs.clicks.reason.is_none();
        let status = &self.clickhouse.status;
        let reconciled = status.reconciled().map(|reconciled| Reconciled {
            through: reconciled.through,
            differences: reconciled.differences,
        });
        // Each offset is read before the end of its log, so a lag may be too large, but never too
        // small.
        let (applied, projected) = (self.index.applied(), self.clickhouse.status.applied());
        let (mutations, clicks) = (self.mutations.end(), self.clicks.end());
        Report {
            status: if is_whole { "ready" } else { "degraded" },
            version: env!("CARGO_PKG_VERSION"),
            logs,
            projections: Projections {
                index: projection(true, applied, mutations, 0),
                clickhouse: Projection {
                    reconciled,
                    ..projection(
                        status.is_connected(),
                        projected,
                        clicks,
                        status.as_of(clicks).lag_ms,
                    )
                },
            },
            downloads: self.downloads.report(),
            warnings: self.recorder.enricher.proxies.warning().into_iter().collect(),
        }
    }

    fn metrics(&self) -> String {
        let report = self.report().projections;
        for (name, projection) in [("index", report.index), ("clickhouse", report.clickhouse)] {
            let is_up = u64::from(projection.state == "up");
            set(names::PROJECTION_UP, "projection", name, is_up);
            set(names::PROJECTION_OFFSET, "projection", name, projection.offset);
            set(names::PROJECTION_LAG_EVENTS, "projection", name, projection.lag_events);
            let lag = Duration::from_millis(projection.lag_ms).as_secs_f64();
            gauge!(names::PROJECTION_LAG_SECONDS, "projection" => name).set(lag);
        }
        if let Some(reconciled) = self.clickhouse.status.reconciled() {
            let name = names::RECONCILE_DIFFERENCES;
            set(name, "projection", "clickhouse", reconciled.differences as u64);
        }
        for (name, log) in [("mutations", &self.mutations), ("clicks", &self.clicks)] {
            for (subscription, cursor) in log.cursors().list() {
                let lag = log.synced().saturating_sub(cursor);
                set(names::SUBSCRIPTION_LAG_EVENTS, "subscription", subscription, lag);
            }
            let synced = log.synced();
            set(names::LOG_END, "log", name, log.end());
            set(names::LOG_UNSYNCED_EVENTS, "log", name, log.end().saturating_sub(synced));
        }
        set(names::QUEUE_WAITING, "queue", "commands", self.commands.waiting() as u64);
        set(names::QUEUE_WAITING, "queue", "clicks", self.recorder.waiting());
        let mut text = self.metrics.render();
        self.write_others(&mut text);
        text
    }
}

impl HealthReporter {
    /// Appends the metrics that are kept outside of the recorder.
    #[allow(clippy::cast_precision_loss, reason = "no value reaches 2⁵³")]
    fn write_others(&self, text: &mut String) {
        let responses = response_counts::counted().into_iter().map(|(handler, status, count)| {
            let labels = vec![("handler", handler.to_owned()), ("status", status.to_string())];
            (labels, count as f64)
        });
        names::write(text, names::HTTP_RESPONSES, responses);
        if let Some(certificates) = &self.certificates {
            let expiries = certificates.expiries().into_iter();
            let expiries = expiries.map(|(host, at)| (vec![("host", host)], at as f64));
            names::write(text, names::CERTIFICATE_EXPIRY, expiries);
        }
        process::write(text);
    }
}

/// Sets a gauge. Inexact beyond 2⁵³, which no offset reaches.
#[allow(clippy::cast_precision_loss, reason = "see above")]
fn set(name: &'static str, label: &'static str, value: &'static str, to: u64) {
    gauge!(name, label => value).set(to as f64);
}

/// Installs the process-wide metrics recorder.
pub fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), BUCKETS)?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)
        .map_err(|_| anyhow::anyhow!("metrics are already installed"))?;
    names::describe();
    Ok(handle)
}

/// Aggregates recorded durations into the histograms periodically.
pub fn keep_metrics(scheduler: &mut Scheduler, handle: PrometheusHandle) {
    scheduler.every("metrics", [METRICS_UPKEEP; 2], handle, |handle| async move {
        handle.run_upkeep();
    });
}
