//! The metrics of clicks.

use crate::domain::named_enum;

named_enum! {
    /// A number that a query computes for each row.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum Metric {
        /// Clicks.
        Clicks => "clicks",
        /// Visitors, each counted once, by ClickHouse's `uniqCombined(12)`, whose states merge across
        /// links, days and values. Exact up to 250; beyond that within about 1.6 % (one standard error;
        /// around 10,000, where the estimator switches algorithms, 2.8 %).
        UniqueVisitors => "unique_visitors",
        /// Clicks by bots, whether the query excludes bots or not.
        BotClicks => "bot_clicks",
        /// Clicks that came from a QR code.
        QrScans => "qr_scans",
        /// 0: conversions are not recorded yet.
        Conversions => "conversions",
        /// 0: conversions are not recorded yet.
        Leads => "leads",
        /// 0: conversions are not recorded yet.
        Sales => "sales",
        /// 0: conversions are not recorded yet.
        Revenue => "revenue",
        /// Conversions per click; 0 without clicks.
        ConversionRate => "conversion_rate",
        /// Clicks per unique visitor; 0 without visitors.
        ClicksPerVisitor => "clicks_per_visitor",
        /// The time of the last click.
        LastClickAt => "last_click_at",
    }
}

/// The value of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number.
    Count(u64),
    /// A fraction or an amount.
    Ratio(f64),
    /// A time, in milliseconds since the Unix epoch; `None` if there is none.
    At(Option<u64>),
}

impl Number {
    /// The value of a metric over no clicks.
    pub const fn zero(metric: Metric) -> Self {
        match metric {
            Metric::LastClickAt => Self::At(None),
            Metric::Revenue | Metric::ConversionRate | Metric::ClicksPerVisitor => Self::Ratio(0.0),
            _ => Self::Count(0),
        }
    }

    /// The number for sorting; a missing time comes first.
    #[allow(clippy::cast_precision_loss, reason = "exact up to 2^53")]
    pub fn size(self) -> f64 {
        match self {
            Self::Count(count) => count as f64,
            Self::Ratio(ratio) => ratio,
            Self::At(at) => at.map_or(-1.0, |at| at as f64),
        }
    }
}
