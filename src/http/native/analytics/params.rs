//! The common parameters of analytics with separate paths: the clicks to count, the period, and the
//! number of rows.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::body::zone;
use super::scope::Resolver;
use crate::domain::error::{Result, ServiceError};
use crate::domain::ids::{LinkId, QrCodeId, WorkspaceId};
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::params::Params;
use crate::queries::analytics::{
    AnalyticsQuery, Bots, Condition, DateRange, Dedupe, Dimension, Edge, Filter, Granularity,
    Metric, Period, RANGES, RangeError, Test, in_or_below,
};

const MAX_UNITS: u64 = 365;
const MAX_LIMIT: u64 = 1_000;
const DEFAULT_LIMIT: u32 = 10;

/// The parameters of analytics besides [`FilterParams`] and [`LimitParam`].
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `AnalyticsRequest::take` reads by name")]
pub struct AnalyticsParams {
    /// The date range, such as `24h`, `7d`, `4w`, `12mo`, `today`, `mtd`, `last_month` or `all`.
    #[param(example = "7d")]
    date_range: Option<String>,
    /// Instead of `date_range`: the first day or time.
    start: Option<String>,
    /// The last day, or the time to end before; now by default. Requires `start`.
    end: Option<String>,
    /// Instead of `date_range`: the unit of `units`. In responses over time, also the length of a
    /// bucket.
    #[param(inline, value_type = Option<Granularity>)]
    unit: Option<String>,
    /// Instead of `date_range`: the number of units, including the current one.
    #[param(minimum = 1, maximum = 365)]
    units: Option<u16>,
    /// The IANA time zone in which days begin.
    #[param(default = "UTC", example = "Europe/Berlin")]
    timezone: Option<String>,
    /// Whether to include bots; `exclude` by default.
    #[param(inline, value_type = Option<Bots>)]
    bots: Option<String>,
    /// Which clicks of one visitor on one link count once: all (`visitor`), those of an hour (`1h`), or
    /// none, which is the default.
    #[param(inline, value_type = Option<Dedupe>)]
    dedupe: Option<String>,
    /// Waits up to 10 seconds until this offset is counted. Must not be beyond the end of the log.
    min_offset: Option<u64>,
}

/// The parameter of analytics with rows.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `AnalyticsRequest::take` reads by name")]
pub struct LimitParam {
    /// The number of rows of each breakdown, 10 by default, or of clicks, 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
}

/// The parameters of analytics that filter clicks.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `AnalyticsRequest::take` reads by name")]
pub struct FilterParams {
    /// Links, by ID or slug. Like all filters below, takes several values separated by commas.
    link: Option<String>,
    /// Domains of links.
    domain: Option<String>,
    /// Tags that the link had when it was clicked, in any case; one of them suffices.
    tag: Option<String>,
    /// Folders that the link was in when it was clicked, or below.
    folder: Option<String>,
    /// Campaigns that the link belonged to when it was clicked, by ID.
    campaign: Option<String>,
    /// Destinations that visitors were redirected to.
    destination: Option<String>,
    /// Versions of links.
    link_version: Option<String>,
    /// Continents: `AF`, `AN`, `AS`, `EU`, `NA`, `OC`, `SA`.
    continent: Option<String>,
    /// Countries, as ISO 3166-1 alpha-2.
    #[param(example = "DE")]
    country: Option<String>,
    /// Regions.
    region: Option<String>,
    /// Cities.
    city: Option<String>,
    /// Types of devices: `desktop`, `mobile`, `tablet`, `bot`, `other`.
    device: Option<String>,
    /// Browsers.
    browser: Option<String>,
    /// Versions of browsers.
    browser_version: Option<String>,
    /// Operating systems.
    os: Option<String>,
    /// Versions of operating systems.
    os_version: Option<String>,
    /// Whether a bot clicked, `true` or `false`; with `bots=include`.
    bot: Option<String>,
    /// How bots were detected: `pattern`, `woothee`, `prefetch`, `head`, `no_agent`.
    bot_reason: Option<String>,
    /// Referring hosts, without `www.`.
    referrer: Option<String>,
    /// Referring pages.
    referrer_url: Option<String>,
    /// What referring sites are called, whatever their hosts: `Google`, `Facebook`, …; or the
    /// hosts of other sites.
    source: Option<String>,
    /// Languages, by primary subtag.
    language: Option<String>,
    /// Values of `utm_source`.
    utm_source: Option<String>,
    /// Values of `utm_medium`.
    utm_medium: Option<String>,
    /// Values of `utm_campaign`.
    utm_campaign: Option<String>,
    /// Values of `utm_content`.
    utm_content: Option<String>,
    /// Values of `utm_term`.
    utm_term: Option<String>,
    /// Rules that redirected the visitor, by ID.
    rule: Option<String>,
    /// Variants that the visitor was assigned.
    variant: Option<String>,
    /// How the link was opened: `link` or `qr`.
    trigger: Option<String>,
    /// QR codes that were scanned, by ID.
    qr_code: Option<String>,
}

/// What clicks belong to.
#[derive(Debug, Clone, Copy)]
pub enum Subject {
    /// A link.
    Link(LinkId),
    /// The QR code that was scanned.
    QrCode(QrCodeId),
}

impl Subject {
    fn condition(self) -> Condition {
        let (dimension, test) = match self {
            Self::Link(link) => (Dimension::Link, Test::Links(vec![link.uuid()])),
            Self::QrCode(code) => (Dimension::QrCode, Test::In(vec![code.to_string()])),
        };
        Condition { dimension, test }
    }
}

/// The parsed parameters.
pub struct AnalyticsRequest {
    workspace: WorkspaceId,
    /// The length of a bucket and the number of buckets, if given.
    pub unit: Option<Granularity>,
    pub units: Option<i64>,
    /// The date range, if given otherwise.
    range: Option<DateRange>,
    /// The maximum number of rows of a breakdown, if given.
    limit: Option<u32>,
    pub zone: TimeZone,
    bots: Bots,
    dedupe: Dedupe,
    filters: Vec<Filter>,
    pub min_offset: Option<u64>,
}

impl AnalyticsRequest {
    /// Parses the parameters, and rejects unknown ones.
    pub fn take(mut params: Params, services: &Services, actor: &Actor) -> Result<Self> {
        let resolver = Resolver { services, workspace: actor.workspace };
        let unit = params.choice("unit", Granularity::EVERY, Granularity::as_str);
        let units = params.number("units", 1, MAX_UNITS);
        let zone = params.text("timezone").map(|name| zone(&name)).transpose();
        let zone = zone.unwrap_or_else(|reason| {
            params.refuse("timezone", reason);
            None
        });
        let range = date_range(&mut params);
        if range.is_some() && units.is_some() {
            params.refuse("units", "must not be combined with date_range or start");
        }
        let mut filters = Vec::new();
        for dimension in Dimension::filterable() {
            let Some(text) = params.text(dimension.as_str()) else { continue };
            let values = text.split(',').map(str::to_owned).collect();
            let filter = resolver.values(dimension, values).and_then(|values| match dimension {
                Dimension::Folder => in_or_below(values),
                _ => Condition::is_in(dimension, values).map(Filter::Is),
            });
            match filter {
                Ok(filter) => filters.push(filter),
                Err(reason) => params.refuse(dimension.as_str(), reason),
            }
        }
        let request = Self {
            workspace: actor.workspace,
            unit,
            units: units.and_then(|units| i64::try_from(units).ok()),
            range,
            limit: params.number("limit", 1, MAX_LIMIT).and_then(|limit| u32::try_from(limit).ok()),
            zone: zone.unwrap_or(TimeZone::UTC),
            bots: params.choice("bots", Bots::EVERY, Bots::as_str).unwrap_or_default(),
            dedupe: params.choice("dedupe", Dedupe::EVERY, Dedupe::as_str).unwrap_or_default(),
            filters,
            min_offset: params.number("min_offset", 0, u64::MAX),
        };
        params.finish()?;
        Ok(request)
    }

    /// The maximum number of rows of a breakdown.
    pub fn rows(&self) -> u32 {
        self.limit.unwrap_or(DEFAULT_LIMIT)
    }

    /// Rejects a limit, for paths that return everything.
    pub fn unlimited(self) -> Result<Self> {
        if self.limit.is_some() {
            return Err(ServiceError::field("limit", "is not a parameter of this path"));
        }
        Ok(self)
    }

    /// Rejects filters, for paths that only accept a period.
    pub fn unfiltered(self) -> Result<Self> {
        let first = self.filters.iter().flat_map(Filter::conditions).next();
        let name = first.map(|condition| condition.dimension.as_str());
        match name {
            Some(name) => Err(ServiceError::field(name, "is not a parameter of this path")),
            None => Ok(self),
        }
    }

    /// Whether the request names a period by its dates.
    pub const fn has_range(&self) -> bool {
        self.range.is_some()
    }

    /// The requested period, or a default one.
    pub fn period(&self, default: &DateRange) -> Result<Period> {
        let by_units = (self.unit.is_some() || self.units.is_some()).then(|| {
            DateRange::Last(self.unit.unwrap_or(Granularity::Day), self.units.unwrap_or(1))
        });
        let range = self.range.as_ref().or(by_units.as_ref()).unwrap_or(default);
        period_of(range, &self.zone)
    }

    /// The query for the workspace's clicks of all these subjects.
    pub fn query(&self, of: &[Subject], metrics: &[Metric], period: Period) -> AnalyticsQuery {
        let own = of.iter().map(|subject| Filter::Is(subject.condition()));
        let filters: Vec<_> = own.chain(self.filters.iter().cloned()).collect();
        AnalyticsQuery {
            filter: Some(filters).filter(|filters| !filters.is_empty()).map(Filter::And),
            zone: self.zone.clone(),
            bots: self.bots,
            dedupe: self.dedupe,
            ..AnalyticsQuery::of(self.workspace, metrics, period)
        }
    }
}

/// A number of days, including today.
pub fn days_of(days: u64) -> DateRange {
    DateRange::Last(Granularity::Day, i64::try_from(days).unwrap_or(1))
}

/// The period of a range that the parameters name.
///
/// # Errors
/// The parameter that is wrong.
pub fn period_of(range: &DateRange, zone: &TimeZone) -> Result<Period> {
    range.period(zone, Timestamp::now()).map_err(|error| match (range, error) {
        (DateRange::Since(_), RangeError::Empty) => {
            ServiceError::field("start", "must not be in the future")
        }
        (DateRange::Between(..), RangeError::Empty) => {
            ServiceError::field("end", "must be after start")
        }
        (DateRange::Since(_) | DateRange::Between(..), error) => {
            ServiceError::field("start", error.to_string())
        }
        (_, error) => ServiceError::field("date_range", error.to_string()),
    })
}

/// Parses `date_range`, or `start` and `end`.
pub fn date_range(params: &mut Params) -> Option<DateRange> {
    let name = params.text("date_range");
    let (start, end) = (params.text("start"), params.text("end"));
    if let Some(name) = name {
        let range = DateRange::parse(&name);
        if range.is_none() {
            params.refuse("date_range", format!("must be one of {RANGES}"));
        }
        if start.is_some() || end.is_some() {
            params.refuse("date_range", "must not be combined with start or end");
        }
        return range;
    }
    let edge = |params: &mut Params, name: &str, text: &str| {
        let edge = Edge::parse(text);
        if edge.is_none() {
            params.refuse(name, "must be a day or a time, such as 2027-01-31");
        }
        edge
    };
    if start.is_none() && end.is_some() {
        params.refuse("start", "is required with end");
    }
    let end = end.map(|end| edge(params, "end", &end));
    let start = edge(params, "start", &start?)?;
    match end {
        None => Some(DateRange::Since(start)),
        Some(end) => Some(DateRange::Between(start, end?)),
    }
}
