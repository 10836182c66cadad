//! The metrics of the service, as rendered at `/metrics`: each name is declared here, once, with its
//! help text.

macro_rules! metrics {
    ($($describe:ident $name:ident = $text:literal, $help:literal;)+) => {
        $(#[doc = $help] pub const $name: &str = $text;)+

        /// The names of all metrics.
        pub const ALL: &[&str] = &[$($name),+];

        /// Gives each metric its help text. To be called once a recorder is installed.
        pub fn describe() {
            $(::metrics::$describe!($name, $help);)+
        }
    };
}

metrics! {
    describe_counter REDIRECTS = "slugline_redirects_total",
        "Redirects, by visitor (human, bot)";
    describe_histogram REDIRECT_SECONDS = "slugline_redirect_seconds", "Time per redirect";
    describe_counter REDIRECTS_FAILED = "slugline_redirects_failed_total",
        "Redirects that failed because the link could not be looked up";
    describe_counter VISITS_BLOCKED = "slugline_visits_blocked_total",
        "Visits that a gate of a link blocked";
    describe_counter CLICKS_LOST = "slugline_clicks_lost_total",
        "Clicks dropped because the log was not writable for too long";
    describe_gauge LOG_END = "slugline_log_end", "Offset of the last event, by log";
    describe_gauge LOG_UNSYNCED_EVENTS = "slugline_log_unsynced_events",
        "Events that are not synced yet, by log";
    describe_histogram LOG_SYNC_SECONDS = "slugline_log_sync_seconds", "Time per sync, by log";
    describe_gauge QUEUE_WAITING = "slugline_queue_waiting",
        "Commands or clicks that wait, by queue";
    describe_gauge PROJECTION_UP = "slugline_projection_up",
        "Whether a projection is available, by projection";
    describe_gauge PROJECTION_OFFSET = "slugline_projection_offset",
        "Offset up to which events are applied, by projection";
    describe_gauge PROJECTION_LAG_EVENTS = "slugline_projection_lag_events",
        "Events that are not applied yet, by projection";
    describe_gauge PROJECTION_LAG_MILLISECONDS = "slugline_projection_lag_milliseconds",
        "Age of the oldest event that is not applied yet, by projection";
    describe_gauge SUBSCRIPTION_LAG_EVENTS = "slugline_subscription_lag_events",
        "Events that are not processed yet, by subscription";
    describe_histogram PROJECTION_BATCH_SECONDS = "slugline_projection_batch_seconds",
        "Time to send a batch of clicks to ClickHouse";
    describe_counter PROJECTION_CLICKS = "slugline_projection_clicks_total",
        "Clicks sent to ClickHouse";
    describe_gauge RECONCILE_DIFFERENCES = "slugline_reconcile_differences",
        "Differences between the log and ClickHouse found by the last comparison";
    describe_gauge CONNECTIONS = "slugline_connections", "Open connections";
    describe_counter CONNECTIONS_REFUSED = "slugline_connections_refused_total",
        "Connections refused because of a limit";
    describe_counter AUTHENTICATION_FAILURES = "slugline_authentication_failures_total",
        "Failed authentications, by reason";
    describe_counter REQUESTS_LIMITED = "slugline_requests_limited_total",
        "Requests refused because of a rate limit, by limit (plan, api, visits)";
    describe_counter CERTIFICATE_ORDERS = "slugline_certificate_orders_total",
        "ACME orders, by outcome";
    describe_gauge CERTIFICATES_FAILING = "slugline_certificates_failing",
        "Hosts that wait for a certificate after a failed order";
    describe_counter MAILS = "slugline_mails_total",
        "Mails, by outcome (sent, failed, refused because of a full queue)";
}
