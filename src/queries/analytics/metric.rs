//! What can be counted.

/// A number that a question asks for, of each of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// How many clicks.
    Clicks,
    /// How many visitors, each counted once: by ClickHouse's `uniqCombined(12)`, whose states add
    /// up over links, days and values. Exact up to 250, beyond within about 1.6 % (one standard
    /// error; around 10,000, where the estimator changes its way, 2.8 %).
    UniqueVisitors,
    /// How many clicks of bots, whether the question leaves these out or not.
    BotClicks,
    /// How many clicks began with a QR code.
    QrScans,
    /// 0: conversions are not recorded yet.
    Conversions,
    /// 0: conversions are not recorded yet.
    Leads,
    /// 0: conversions are not recorded yet.
    Sales,
    /// 0: conversions are not recorded yet.
    Revenue,
    /// Conversions by clicks; 0 without clicks.
    ConversionRate,
    /// Clicks by unique visitors; 0 without any.
    ClicksPerVisitor,
    /// When the last click was.
    LastClickAt,
}

impl Metric {
    /// Each metric there is.
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
    /// A fraction, or an amount.
    Ratio(f64),
    /// A moment, in milliseconds since the Unix epoch; `None` where there was none.
    At(Option<u64>),
}

impl Number {
    /// What a metric is of nothing.
    pub const fn zero(metric: Metric) -> Self {
        match metric {
            Metric::LastClickAt => Self::At(None),
            Metric::Revenue | Metric::ConversionRate | Metric::ClicksPerVisitor => Self::Ratio(0.0),
            _ => Self::Count(0),
        }
    }

    /// The number for comparing sizes; a moment that never was comes first.
    #[allow(clippy::cast_precision_loss, reason = "a difference beyond 2^53 orders nothing")]
    pub fn size(self) -> f64 {
        match self {
            Self::Count(count) => count as f64,
            Self::Ratio(ratio) => ratio,
            Self::At(at) => at.map_or(-1.0, |at| at as f64),
        }
    }
}
