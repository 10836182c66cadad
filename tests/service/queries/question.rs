//! A query, as sent and as evaluated.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::buckets::{day_start, zone};
use super::filter::Filter;
use super::world::ms;

pub const METRICS: [&str; 11] = [
    "clicks",
    "unique_visitors",
    "bot_clicks",
    "qr_scans",
    "conversions",
    "leads",
    "sales",
    "revenue",
    "conversion_rate",
    "clicks_per_visitor",
    "last_click_at",
];

/// A span of time.
#[derive(Debug, Clone, Copy)]
pub enum Span {
    All,
    /// By its name; its edges are those that the answer names.
    Named(&'static str),
    Moments(i64, i64),
    Days(Date, Date),
}

/// A question.
#[derive(Debug, Clone)]
pub struct Question {
    pub metrics: Vec<&'static str>,
    pub dimensions: Vec<&'static str>,
    pub filter: Option<Filter>,
    pub span: Span,
    pub zone: &'static str,
    pub granularity: Option<&'static str>,
    /// By what, and whether the largest is first.
    pub order: Vec<(&'static str, bool)>,
    pub limit: usize,
    pub offset: usize,
    pub compare: Option<&'static str>,
    pub bots: &'static str,
    pub dedupe: &'static str,
}

impl Default for Question {
    fn default() -> Self {
        Self {
            metrics: vec!["clicks"],
            dimensions: Vec::new(),
            filter: None,
            span: Span::All,
            zone: "UTC",
            granularity: None,
            order: Vec::new(),
            limit: 10_000,
            offset: 0,
            compare: None,
            bots: "exclude",
            dedupe: "none",
        }
    }
}

pub fn timestamp(at_ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(at_ms).unwrap();
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

impl Span {
    pub fn days(from: &str, to: &str) -> Self {
        Self::Days(from.parse().unwrap(), to.parse().unwrap())
    }

    pub fn moments(from: &str, to: &str) -> Self {
        Self::Moments(ms(from), ms(to))
    }

    fn json(&self) -> Value {
        match self {
            Self::All => json!("all"),
            Self::Named(name) => json!(name),
            Self::Moments(from, to) => json!([timestamp(*from), timestamp(*to)]),
            Self::Days(from, to) => json!([from.to_string(), to.to_string()]),
        }
    }

    /// The first moment, and the first one after it, where they are fixed.
    pub fn edges(&self, zone: &TimeZone) -> Option<(i64, i64)> {
        match self {
            Self::All | Self::Named(_) => None,
            Self::Moments(from, to) => Some((*from, *to)),
            Self::Days(from, to) => {
                Some((day_start(*from, zone), day_start(to.tomorrow().unwrap(), zone)))
            }
        }
    }
}

impl Question {
    pub fn json(&self) -> Value {
        let way = |is_descending: bool| if is_descending { "desc" } else { "asc" };
        let order: Vec<_> = self.order.iter().map(|(key, down)| json!([key, way(*down)])).collect();
        let mut body = json!({
            "metrics": self.metrics,
            "dimensions": self.dimensions,
            "date_range": self.span.json(),
            "timezone": self.zone,
            "order_by": order,
            "limit": self.limit,
            "offset": self.offset,
            "bots": self.bots,
            "dedupe": self.dedupe,
        });
        if let Some(filter) = &self.filter {
            body["filters"] = filter.json();
        }
        if let Some(granularity) = self.granularity {
            body["granularity"] = json!(granularity);
        }
        if let Some(compare) = self.compare {
            body["compare"] = json!(compare);
        }
        body
    }

    pub fn is_over_time(&self) -> bool {
        self.dimensions.contains(&"time")
    }

    pub fn zone(&self) -> TimeZone {
        zone(self.zone)
    }
}
