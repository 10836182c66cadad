//! What the questions with paths of their own have in common: the parameters that say which
//! clicks, of when, and how many rows.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::body::zone;
use super::scope::Resolver;
use crate::http::params::Params;
use crate::http::problem::Problem;
use crate::queries::analytics::{
    AnalyticsQuery, Bots, Condition, DateRange, Dedupe, Dimension, Edge, Filter, Granularity,
    Metric, Period, RANGES, Test,
};

const MAX_UNITS: u64 = 365;
const MAX_SIZE: u64 = 1_000;
const DEFAULT_SIZE: u32 = 10;

/// What the parameters are, for the API's description.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "`Asked::take` reads them by name")]
pub struct Asking {
    /// Of when: 24h, 7d, 4w, 12mo, today, mtd, `last_month`, all, …
    period: Option<String>,
    /// In place of `period`: from this day or moment.
    start: Option<String>,
    /// To the end of this day, or up to this moment.
    end: Option<String>,
    /// In place of `period`: so many days, today included; 1 to 365.
    days: Option<u16>,
    /// In place of `period`: minute, hour, day, week, month, quarter or year, beside `units`. Over
    /// time it is the buckets' length too.
    unit: Option<String>,
    /// How many units, the current one included: 1 to 365.
    units: Option<u16>,
    /// In which days begin: a name of the IANA database; UTC when absent.
    timezone: Option<String>,
    /// How many rows of a breakdown: 1 to 1000; 10 when absent.
    size: Option<u16>,
    /// exclude, include or only; exclude when absent.
    bots: Option<String>,
    /// Which clicks of a visitor on a link count as one: none, visitor or 1h; none when absent.
    dedupe: Option<String>,
    /// Wait until this offset is counted: up to 10 s, then 504. One beyond the end of the log is
    /// refused.
    min_offset: Option<u64>,
    /// Only clicks on these links, by id or slug; several values are separated by commas, here and below.
    link: Option<String>,
    /// Only on these domains.
    domain: Option<String>,
    /// Only those that were led there.
    destination: Option<String>,
    /// Only of these versions of the link.
    link_version: Option<String>,
    /// Only from there: AF, AN, AS, EU, NA, OC, SA.
    continent: Option<String>,
    /// Only from there: ISO 3166-1 alpha-2.
    country: Option<String>,
    /// Only from there.
    region: Option<String>,
    /// Only from there.
    city: Option<String>,
    /// Only from such: desktop, mobile, tablet, bot, other.
    device: Option<String>,
    /// Only with these.
    browser: Option<String>,
    /// Only with these.
    browser_version: Option<String>,
    /// Only with these.
    os: Option<String>,
    /// Only with these.
    os_version: Option<String>,
    /// Only bots found out so: pattern, woothee, prefetch, head, `no_agent`.
    bot_reason: Option<String>,
    /// Only from these hosts.
    referrer: Option<String>,
    /// Only from these pages.
    referrer_url: Option<String>,
    /// Only of these languages: the first subtag.
    language: Option<String>,
    /// Only of these.
    utm_source: Option<String>,
    /// Only of these.
    utm_medium: Option<String>,
    /// Only of these.
    utm_campaign: Option<String>,
    /// Only of these.
    utm_content: Option<String>,
    /// Only of these.
    utm_term: Option<String>,
    /// Only those that were led by these rules, by their ids.
    rule: Option<String>,
    /// Only those that drew these variants.
    variant: Option<String>,
    /// link or qr.
    trigger: Option<String>,
}

/// The parameters, read.
pub struct Asked {
    /// How long a bucket of time is, and how many there are, where it is said.
    pub unit: Option<Granularity>,
    pub units: Option<i64>,
    /// A span in other words.
    range: Option<DateRange>,
    /// How many rows of a breakdown.
    pub size: u32,
    pub zone: TimeZone,
    bots: Bots,
    dedupe: Dedupe,
    filters: Vec<Filter>,
    pub min_offset: Option<u64>,
}

impl Asked {
    /// Takes the parameters; those that are not known are refused.
    pub fn take(mut params: Params, resolver: &Resolver<'_>) -> Result<Self, Problem> {
        let unit = params.choice("unit", Granularity::EVERY, Granularity::as_str);
        let units = params.number("units", 1, MAX_UNITS);
        let days = params.number("days", 1, MAX_UNITS);
        let zone = params.text("timezone").map(|name| zone(&name)).transpose();
        let zone = zone.unwrap_or_else(|reason| {
            params.refuse("timezone", reason);
            None
        });
        let range = range(&mut params).or(days.map(days_of));
        let mut filters = Vec::new();
        for dimension in Dimension::filterable() {
            let Some(text) = params.text(dimension.as_str()) else { continue };
            let values = text.split(',').map(str::to_owned).collect();
            let values = resolver.values(dimension, values);
            match values.and_then(|values| Condition::is_in(dimension, values)) {
                Ok(condition) => filters.push(Filter::Is(condition)),
                Err(reason) => params.refuse(dimension.as_str(), reason),
            }
        }
        let asked = Self {
            unit,
            units: units.and_then(|units| i64::try_from(units).ok()),
            range,
            size: params
                .number("size", 1, MAX_SIZE)
                .and_then(|size| u32::try_from(size).ok())
                .unwrap_or(DEFAULT_SIZE),
            zone: zone.unwrap_or(TimeZone::UTC),
            bots: params.choice("bots", Bots::EVERY, Bots::as_str).unwrap_or_default(),
            dedupe: params.choice("dedupe", Dedupe::EVERY, Dedupe::as_str).unwrap_or_default(),
            filters,
            min_offset: params.number("min_offset", 0, u64::MAX),
        };
        params.finish()?;
        Ok(asked)
    }

    /// The same, where nothing but the time is asked for.
    pub fn unfiltered(self) -> Result<Self, Problem> {
        match self.filters.first() {
            Some(Filter::Is(condition)) => {
                let name = condition.dimension.as_str();
                Err(Problem::field(name, "is not a parameter of this path"))
            }
            _ => Ok(self),
        }
    }

    /// The span that is asked for, or else this one.
    pub fn period(&self, usual: &DateRange) -> Result<Period, Problem> {
        let by_units = (self.unit.is_some() || self.units.is_some()).then(|| {
            DateRange::Last(self.unit.unwrap_or(Granularity::Day), self.units.unwrap_or(1))
        });
        let range = self.range.as_ref().or(by_units.as_ref()).unwrap_or(usual);
        let period = range.period(&self.zone, Timestamp::now());
        period.map_err(|reason| Problem::field("period", reason))
    }

    /// The question about a workspace, or about one link of it.
    pub fn question(
        &self,
        resolver: &Resolver<'_>,
        link: Option<uuid::Uuid>,
        metrics: &[Metric],
        period: Period,
    ) -> AnalyticsQuery {
        let link = link.map(|link| {
            let test = Test::Links(vec![link]);
            Filter::Is(Condition { dimension: Dimension::Link, test })
        });
        let filters: Vec<_> = link.into_iter().chain(self.filters.iter().cloned()).collect();
        AnalyticsQuery {
            filter: Some(filters).filter(|filters| !filters.is_empty()).map(Filter::And),
            zone: self.zone.clone(),
            bots: self.bots,
            dedupe: self.dedupe,
            ..AnalyticsQuery::of(resolver.workspace, metrics, period)
        }
    }
}

/// So many days, today included.
pub fn days_of(days: u64) -> DateRange {
    DateRange::Last(Granularity::Day, i64::try_from(days).unwrap_or(1))
}

/// `period`, or `start` and `end`.
fn range(params: &mut Params) -> Option<DateRange> {
    let name = params.text("period");
    let (start, end) = (params.text("start"), params.text("end"));
    if let Some(name) = name {
        let range = DateRange::parse(&name);
        if range.is_none() || start.is_some() || end.is_some() {
            params.refuse("period", format!("must stand alone, and be one of {RANGES}"));
        }
        return range;
    }
    let edge = |params: &mut Params, name: &str, text: Option<String>| {
        let edge = text.as_deref().and_then(Edge::parse);
        if edge.is_none() {
            params.refuse(name, "must be a day or a moment, and both start and end be given");
        }
        edge
    };
    if start.is_none() && end.is_none() {
        return None;
    }
    let start = edge(params, "start", start);
    let end = edge(params, "end", end);
    Some(DateRange::Between(start?, end?))
}
