//! The metrics of clicks.

/// A number that a query computes for each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Clicks.
    Clicks,
    /// Visitors, each counted once, by ClickHouse's `uniqCombined(12)`, whose states merge across
    /// links, days and values. Exact up to 250; beyond that within about 1.6 % (one standard error;
    /// around 10,000, where the estimator switches algorithms, 2.8 %).
    UniqueVisitors,
    /// Clicks by bots, whether the query excludes bots or not.
    BotClicks,
    /// Clicks that came from a QR code.
    QrScans,
    /// 0: conversions are not recorded yet.
    Conversions,
    /// 0: conversions are not recorded yet.
    Leads,
    /// 0: conversions are not recorded yet.
    Sales,
    /// 0: conversions are not recorded yet.
    Revenue,
    /// Conversions per click; 0 without clicks.
    ConversionRate,
    /// Clicks per unique visitor; 0 without visitors.
    ClicksPerVisitor,
    /// The time of the last click.
    LastClickAt,
}

impl Metric {
    /// All metrics.
    pub const EVERY: &'static [Self] = &[
        Self::Clicks,
        Self::UniqueVisitors,
        Self::BotClicks,
        Self::QrScans,
        Self::Conversions,
        Self::Leads,
        Self::Sales,
        Self::Revenue,
        Self::ConversionRate,
        Self::ClicksPerVisitor,
        Self::LastClickAt,
    ];

    /// The metric's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clicks => "clicks",
            Self::UniqueVisitors => "unique_visitors",
            Self::BotClicks => "bot_clicks",
            Self::QrScans => "qr_scans",
            Self::Conversions => "conversions",
            Self::Leads => "leads",
            Self::Sales => "sales",
            Self::Revenue => "revenue",
            Self::ConversionRate => "conversion_rate",
            Self::ClicksPerVisitor => "clicks_per_visitor",
            Self::LastClickAt => "last_click_at",
        }
    }

    /// The metric with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::EVERY.iter().copied().find(|metric| metric.as_str() == name)
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
