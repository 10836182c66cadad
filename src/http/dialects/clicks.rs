//! What dialects ask of analytics: totals, a breakdown, a series, and the most clicked links.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use url::Url;
use uuid::Uuid;

use super::links::{ShownLink, show_all};
use crate::domain::command::LinkRef;
use crate::domain::error::{Result, ServiceError};
use crate::domain::ids::{LinkId, QrCodeId};
use crate::http::auth::Api;
use crate::queries::analytics::{
    AnalyticsQuery, Condition, Counts, DateRange, Dimension, Filter, Granularity, Key, MAX_ROWS,
    Metric, Number, Order, Period, Report, Row, Test, Value,
};

/// The last `units` of time (UTC), including the current one.
///
/// # Errors
/// If they begin before the calendar.
pub fn last(unit: Granularity, units: i64) -> Result<Period> {
    let period = DateRange::Last(unit, units).period(&TimeZone::UTC, Timestamp::now());
    period.map_err(|error| ServiceError::field("units", error.to_string()))
}

/// What was clicked.
#[derive(Clone, Copy)]
pub enum Of {
    /// Any link of the caller's workspace.
    Workspace,
    /// One of its links.
    Link(LinkId),
    /// A link by one of its QR codes: the scans of the code.
    QrCode(QrCodeId),
}

/// Clicks without bots.
pub struct Clicks<'a> {
    /// Who asks.
    pub api: &'a Api,
    /// What was clicked.
    pub of: Of,
    /// The period; all time if absent.
    pub period: Option<Period>,
}

impl Clicks<'_> {
    fn query(&self, metrics: &[Metric]) -> Result<AnalyticsQuery> {
        let all = || DateRange::All.period(&TimeZone::UTC, Timestamp::now());
        let period = self.period.map_or_else(all, Ok).map_err(ServiceError::internal)?;
        let condition = |dimension, test| Some(Filter::Is(Condition { dimension, test }));
        let filter = match self.of {
            Of::Workspace => None,
            Of::Link(link) => condition(Dimension::Link, Test::Links(vec![link.uuid()])),
            Of::QrCode(code) => condition(Dimension::QrCode, Test::In(vec![code.to_string()])),
        };
        let query = AnalyticsQuery::of(self.api.actor.workspace, metrics, period);
        Ok(AnalyticsQuery { filter, ..query })
    }

    async fn run(&self, query: &AnalyticsQuery) -> Result<Report> {
        let analytics = &self.api.services.analytics;
        analytics.run(query, analytics.as_of(None, 0).await?).await
    }

    /// The totals.
    pub async fn totals(&self) -> Result<Counts> {
        let report = self.run(&self.query(&[Metric::Clicks, Metric::UniqueVisitors])?).await?;
        let row = report.rows.first();
        Ok(row.map_or_else(Counts::default, |row| Counts {
            clicks: count(row, 0),
            visitors: count(row, 1),
        }))
    }

    /// The values of a dimension with the most clicks, as stored: country codes, empty if unknown.
    pub async fn by(&self, dimension: Dimension, limit: u32) -> Result<Vec<(String, u64)>> {
        let query = self.query(&[Metric::Clicks])?;
        let query = AnalyticsQuery { dimensions: vec![dimension], limit, ..query };
        let rows = self.run(&query).await?.rows.into_iter();
        let value = |row: Row| match row.dimensions.as_slice() {
            [Value::Text(text)] => Some((text.clone(), count(&row, 0))),
            _ => None,
        };
        Ok(rows.filter_map(value).collect())
    }

    /// The hosts of the referring pages as visitors sent them, with the most clicks first; empty if
    /// unknown. Of the pages, the 10,000 with the most clicks are counted.
    pub async fn by_referring_host(&self) -> Result<Vec<(String, u64)>> {
        let mut hosts = BTreeMap::<String, u64>::new();
        for (page, clicks) in self.by(Dimension::ReferrerUrl, MAX_ROWS).await? {
            let page = Url::parse(&page).ok();
            let host = page.as_ref().and_then(Url::host_str).unwrap_or_default();
            *hosts.entry(host.to_owned()).or_default() += clicks;
        }
        let mut hosts: Vec<_> = hosts.into_iter().collect();
        hosts.sort_by_key(|(_, clicks)| Reverse(*clicks));
        Ok(hosts)
    }

    /// The clicks in each unit of the period, newest first, including empty ones: the unit's first
    /// day or moment, and its clicks.
    pub async fn over_time(&self, unit: Granularity) -> Result<Vec<(String, u64)>> {
        let newest_first = Order { key: Key::Dimension(Dimension::Time), is_descending: true };
        let query = AnalyticsQuery {
            dimensions: vec![Dimension::Time],
            granularity: Some(unit),
            order: vec![newest_first],
            limit: u32::MAX,
            ..self.query(&[Metric::Clicks])?
        };
        let rows = self.run(&query).await?.rows.into_iter();
        let bucket = |row: Row| match row.dimensions.as_slice() {
            [Value::Time(start)] => Some((unit.label(*start, &TimeZone::UTC), count(&row, 0))),
            _ => None,
        };
        Ok(rows.filter_map(bucket).collect())
    }

    /// The most clicked links that exist, with their clicks in the period.
    pub async fn top_links(&self, limit: u32) -> Result<Vec<(ShownLink, u64)>> {
        let (mut links, mut clicks) = (Vec::new(), Vec::new());
        for (id, count) in self.by(Dimension::Link, limit).await? {
            let id = Uuid::parse_str(&id).map_err(ServiceError::internal)?;
            let link = LinkRef::Id(LinkId::new(id));
            if let Some(link) = self.api.services.links.get(self.api.actor.workspace, &link)? {
                links.push(link);
                clicks.push(count);
            }
        }
        Ok(show_all(self.api, links).await?.into_iter().zip(clicks).collect())
    }
}

fn count(row: &Row, metric: usize) -> u64 {
    match row.metrics.get(metric) {
        Some(Number::Count(count)) => *count,
        _ => 0,
    }
}
