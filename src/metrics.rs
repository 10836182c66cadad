//! The metrics of the service, as rendered at `/metrics`: each name is declared here, once, with its
//! help text.

use std::fmt::Write as _;

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Any value.
    Gauge,
    /// Durations by bucket.
    Histogram,
}

/// A declared metric.
#[derive(Debug)]
pub struct Metric {
    /// `slugline_redirects_total`
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its help text.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($kind:ident $name:ident = $text:literal, $help:literal;)+) => {
        $(#[doc = $help] pub const $name: &str = $text;)+

        /// All metrics.
        pub const ALL: &[Metric] =
            &[$(Metric { name: $text, kind: Kind::$kind, help: $help }),+];
    };
}

metrics! {
    Counter REDIRECTS = "slugline_redirects_total",
        "Redirects, by visitor (human, bot)";
    Histogram REDIRECT_SECONDS = "slugline_redirect_sampled_seconds",
        "Time per redirect, of those in one of 16 milliseconds: not all are counted";
    Counter REDIRECTS_FAILED = "slugline_redirects_failed_total",
        "Redirects that failed because the link could not be looked up";
    Counter VISITS_BLOCKED = "slugline_visits_blocked_total",
        "Visits that a gate of a link blocked";
    Counter CLICKS_LOST = "slugline_clicks_lost_total",
        "Clicks dropped because the log was not writable for too long";
    Gauge LOG_END = "slugline_log_end", "Offset of the last event, by log";
    Gauge LOG_UNSYNCED_EVENTS = "slugline_log_unsynced_events",
        "Events that are not synced yet, by log";
    Histogram LOG_SYNC_SECONDS = "slugline_log_sync_seconds", "Time per sync, by log";
    Gauge QUEUE_WAITING = "slugline_queue_waiting",
        "Commands or clicks that wait, by queue";
    Gauge PROJECTION_UP = "slugline_projection_up",
        "Whether a projection is available, by projection";
    Gauge PROJECTION_OFFSET = "slugline_projection_offset",
        "Offset up to which events are applied, by projection";
    Gauge PROJECTION_LAG_EVENTS = "slugline_projection_lag_events",
        "Events that are not applied yet, by projection";
    Gauge PROJECTION_LAG_SECONDS = "slugline_projection_lag_seconds",
        "Age of the oldest event that is not applied yet, by projection";
    Gauge SUBSCRIPTION_LAG_EVENTS = "slugline_subscription_lag_events",
        "Events that are not processed yet, by subscription";
    Histogram PROJECTION_BATCH_SECONDS = "slugline_projection_batch_seconds",
        "Time to send a batch of clicks to ClickHouse";
    Counter PROJECTION_CLICKS = "slugline_projection_clicks_total",
        "Clicks sent to ClickHouse";
    Gauge RECONCILE_DIFFERENCES = "slugline_reconcile_differences",
        "Differences between the log and ClickHouse found by the last comparison";
    Counter HTTP_RESPONSES = "slugline_http_responses_total",
        "Responses, by handler (redirect, api, other) and status";
    Gauge CONNECTIONS = "slugline_connections", "Open connections";
    Counter CONNECTIONS_REFUSED = "slugline_connections_refused_total",
        "Connections refused because of a limit";
    Counter AUTHENTICATION_FAILURES = "slugline_authentication_failures_total",
        "Failed authentications, by reason";
    Counter REQUESTS_LIMITED = "slugline_requests_limited_total",
        "Requests refused because of a rate limit, by limit (plan, api, visits)";
    Counter CERTIFICATE_ORDERS = "slugline_certificate_orders_total",
        "ACME orders, by outcome";
    Gauge CERTIFICATES_FAILING = "slugline_certificates_failing",
        "Hosts that wait for a certificate after a failed order";
    Gauge CERTIFICATE_EXPIRY = "slugline_certificate_expiry_timestamp_seconds",
        "When the certificate in use expires, since the Unix epoch, by host";
    Counter MAILS = "slugline_mails_total",
        "Mails, by outcome (sent, failed, refused because of a full queue)";
    Gauge BUILD_INFO = "slugline_build_info", "1, with the version and the commit of this build";
    Counter PROCESS_CPU_SECONDS = "process_cpu_seconds_total",
        "User and system CPU time of the process, without the embedded ClickHouse";
    Gauge PROCESS_RESIDENT_MEMORY = "process_resident_memory_bytes",
        "Resident memory of the process, without the embedded ClickHouse";
    Gauge PROCESS_VIRTUAL_MEMORY = "process_virtual_memory_bytes", "Virtual memory of the process";
    Gauge PROCESS_OPEN_FDS = "process_open_fds", "Open file descriptors";
    Gauge PROCESS_MAX_FDS = "process_max_fds", "The limit of open file descriptors";
    Gauge PROCESS_START_TIME = "process_start_time_seconds",
        "When the process started, since the Unix epoch";
}

/// Gives each metric its help text. To be called once a recorder is installed.
pub fn describe() {
    for &Metric { name, kind, help } in ALL {
        match kind {
            Kind::Counter => ::metrics::describe_counter!(name, help),
            Kind::Gauge => ::metrics::describe_gauge!(name, help),
            Kind::Histogram => ::metrics::describe_histogram!(name, help),
        }
    }
}

/// Appends a metric whose values are kept outside of the recorder, in Prometheus's text format.
/// Each sample has its labels and its value.
pub fn write<'a>(
    out: &mut String,
    name: &str,
    samples: impl IntoIterator<Item = (Vec<(&'a str, String)>, f64)>,
) {
    let Some(metric) = ALL.iter().find(|metric| metric.name == name) else { return };
    let kind = if metric.kind == Kind::Counter { "counter" } else { "gauge" };
    // Writing to a string cannot fail.
    let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", metric.help);
    for (labels, value) in samples {
        let labels = labels.iter().map(|(label, text)| {
            let text = text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            format!("{label}=\"{text}\"")
        });
        let labels = labels.collect::<Vec<_>>().join(",");
        let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
        let _ = writeln!(out, "{name}{labels} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_written_with_escaped_labels() {
        let mut out = String::new();
        let host = vec![("host", "a\"b\\c\nd".to_owned()), ("x", String::new())];
        write(&mut out, CERTIFICATE_EXPIRY, [(host, 1_781_725_900.0)]);
        write(&mut out, PROCESS_CPU_SECONDS, [(Vec::new(), 0.25)]);
        let lines: Vec<_> = out.lines().collect();
        assert_eq!(
            lines[1..3],
            [
                "# TYPE slugline_certificate_expiry_timestamp_seconds gauge",
                "slugline_certificate_expiry_timestamp_seconds\
                 {host=\"a\\\"b\\\\c\\nd\",x=\"\"} 1781725900"
            ]
        );
        assert_eq!(
            lines[4..],
            ["# TYPE process_cpu_seconds_total counter", "process_cpu_seconds_total 0.25"]
        );
    }

    #[test]
    fn names_have_base_units_and_the_suffix_of_their_kind() {
        for Metric { name, kind, help } in ALL {
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(!name.contains("milli") && !help.ends_with('.'), "{name}");
            assert!(*kind != Kind::Histogram || name.ends_with("_seconds"), "{name}");
        }
    }
}
