//! `/api/v1/links/{link}/…` and `/api/v1/analytics`: the fixed questions.
//!
//! What stands in `data` has the shape that the Lynklens API (`/links/…`) and the qklnk API
//! (`/analytics`) document.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::ser::{Serialize, SerializeMap, Serializer};
use utoipa::ToSchema;

use super::iso8601;
use super::links::find;
use crate::domain::command::LinkRef;
use crate::domain::country;
use crate::domain::link::Link;
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::{AnalyticsRead, Can};
use crate::http::params::{Name, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::queries::analytics::{AsOf, Bots, Dimension, Scope};
use crate::queries::window::{Unit, Window};

const MAX_UNITS: u64 = 365;
const MAX_SIZE: u64 = 1_000;
const DEFAULT_SIZE: u16 = 10;
const TOP_LINKS: u16 = 10;

/// What an answer of the analytics stands in.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct Counted<T> {
    /// What was asked for.
    data: T,
    /// What it reflects.
    meta: CountedMeta,
}

/// What an answer reflects.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct CountedMeta {
    /// The moment of which the answer is.
    as_of: AsOfView,
}

/// A moment of the click log.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct AsOfView {
    /// Each click up to this offset of the click log is counted, and no other.
    offset: u64,
    /// Each click up to this time is counted.
    #[schema(example = "2026-03-02T10:31:07.250Z")]
    time: String,
    /// How long ago that was, in milliseconds; 0 when no click waits to be counted.
    lag_ms: u64,
}

impl<T> Counted<T> {
    fn new(data: T, as_of: AsOf) -> Json<Self> {
        let AsOf { offset, at_ms, lag_ms } = as_of;
        let as_of = AsOfView { offset, time: iso8601(at_ms), lag_ms };
        Json(Self { data, meta: CountedMeta { as_of } })
    }
}

/// What an answer is to reflect: `min_offset` is waited for.
async fn as_of(services: &Services, min_offset: Option<u64>) -> Result<AsOf, Problem> {
    Ok(services.analytics.as_of(min_offset, services.links.applied()).await?)
}

/// Clicks over time.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct ClicksView {
    /// Newest first; empty buckets are there.
    clicks: Vec<BucketView>,
    unit: &'static str,
    units: u16,
}

/// One bucket.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct BucketView {
    /// The bucket's day (a week's Monday, a month's first); its first instant below a day. UTC.
    #[schema(example = "2026-03-02")]
    date: String,
    clicks: u64,
}

/// Clicks in a span of time.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct SummaryView {
    total_clicks: u64,
    unit: &'static str,
    units: u16,
}

/// Clicks by what they have in common.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct BreakdownView {
    /// Most clicks first: `{"country": "Germany", "clicks": 3}`, and so for the others.
    #[schema(value_type = Vec<Object>)]
    metrics: Vec<ShareView>,
}

/// A value of one dimension and its clicks; the dimension is the first field's name.
#[derive(Debug)]
struct ShareView {
    dimension: Dimension,
    value: String,
    clicks: u64,
}

impl Serialize for ShareView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_map(Some(2))?;
        row.serialize_entry(key(self.dimension), &shown(self.dimension, &self.value))?;
        row.serialize_entry("clicks", &self.clicks)?;
        row.end()
    }
}

/// A workspace at a glance.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct OverviewView {
    total_clicks: u64,
    unique_visitors: u64,
    /// 0: conversions are not recorded yet.
    conversions: u64,
    /// 0: conversions are not recorded yet.
    revenue: f64,
    top_links: Vec<TopLinkView>,
}

/// A link and its clicks.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct TopLinkView {
    id: String,
    slug: String,
    destination: String,
    clicks: u64,
}

/// What the questions of one link have in common.
struct Asked {
    unit: Option<Unit>,
    units: Option<u16>,
    size: u16,
    bots: Bots,
    min_offset: Option<u64>,
}

impl Asked {
    fn take(mut params: Params) -> Result<Self, Problem> {
        let narrow = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
        let asked = Self {
            unit: params.choice("unit", Unit::EVERY, Unit::as_str),
            units: params.number("units", 1, MAX_UNITS).map(narrow),
            size: params.number("size", 1, MAX_SIZE).map_or(DEFAULT_SIZE, narrow),
            bots: params.choice("bots", Bots::EVERY, Bots::as_str).unwrap_or_default(),
            min_offset: params.number("min_offset", 0, u64::MAX),
        };
        params.finish()?;
        Ok(asked)
    }

    fn window(&self, unit: Unit, units: u16) -> Window {
        Window { unit: self.unit.unwrap_or(unit), units: self.units.unwrap_or(units) }
    }

    /// The window where one is asked for; all of the time else.
    fn window_if_any(&self) -> Option<Window> {
        (self.unit.is_some() || self.units.is_some()).then(|| self.window(Unit::Day, 1))
    }
}

fn scope(
    link: &Link,
    asked: &Asked,
    window: Option<Window>,
    as_of: AsOf,
) -> Result<Scope, Problem> {
    Ok(Scope {
        workspace: link.workspace,
        link: Some(link.id),
        from: start(window)?,
        bots: asked.bots,
        through: as_of.offset,
    })
}

fn start(window: Option<Window>) -> Result<Option<Timestamp>, Problem> {
    let start = window.map(|window| window.start(Timestamp::now())).transpose();
    start.map_err(|error| Problem::internal(error.to_string()))
}

/// Clicks over time.
#[utoipa::path(
    get, path = "/links/{link}/clicks", tag = "analytics",
    params(
        ("link" = String, Path, description = "The link's id or slug"),
        ("unit" = Option<String>, Query, description = "minute, hour, day, week or month; day when absent"),
        ("units" = Option<u16>, Query, description = "How many, now included: 1 to 365; 7 when absent"),
        ("bots" = Option<String>, Query, description = "exclude, include or only; exclude when absent"),
        ("min_offset" = Option<u64>, Query, description = "Wait until this offset is counted: up to 10 s, then 504"),
    ),
    responses((status = 200, body = Counted<ClicksView>), (status = 503, body = ProblemBody, content_type = "application/problem+json"), (status = 504, description = "`min_offset` was not counted in time", body = ProblemBody, content_type = "application/problem+json"))
)]
pub async fn clicks(
    State(services): State<Services>,
    actor: Can<AnalyticsRead>,
    Name(name): Name,
    params: Params,
) -> Result<Json<Counted<ClicksView>>, Problem> {
    let asked = Asked::take(params)?;
    let window = asked.window(Unit::Day, 7);
    let link = find(&services, &actor, &name)?;
    let as_of = as_of(&services, asked.min_offset).await?;
    let scope = scope(&link, &asked, None, as_of)?;
    let buckets = services.analytics.clicks(&scope, window, Timestamp::now()).await?;
    let clicks = buckets.into_iter().map(|(date, clicks)| BucketView { date, clicks }).collect();
    let data = ClicksView { clicks, unit: window.unit.as_str(), units: window.units };
    Ok(Counted::new(data, as_of))
}

/// All clicks of a span of time.
#[utoipa::path(
    get, path = "/links/{link}/clicks/summary", tag = "analytics",
    params(
        ("link" = String, Path, description = "The link's id or slug"),
        ("unit" = Option<String>, Query, description = "minute, hour, day, week or month; month when absent"),
        ("units" = Option<u16>, Query, description = "How many, now included: 1 to 365; 1 when absent"),
        ("bots" = Option<String>, Query, description = "exclude, include or only; exclude when absent"),
        ("min_offset" = Option<u64>, Query, description = "Wait until this offset is counted: up to 10 s, then 504"),
    ),
    responses((status = 200, body = Counted<SummaryView>), (status = 503, body = ProblemBody, content_type = "application/problem+json"), (status = 504, description = "`min_offset` was not counted in time", body = ProblemBody, content_type = "application/problem+json"))
)]
pub async fn summary(
    State(services): State<Services>,
    actor: Can<AnalyticsRead>,
    Name(name): Name,
    params: Params,
) -> Result<Json<Counted<SummaryView>>, Problem> {
    let asked = Asked::take(params)?;
    let window = asked.window(Unit::Month, 1);
    let link = find(&services, &actor, &name)?;
    let as_of = as_of(&services, asked.min_offset).await?;
    let scope = scope(&link, &asked, Some(window), as_of)?;
    let counts = services.analytics.totals(&scope).await?;
    let data = SummaryView {
        total_clicks: counts.clicks,
        unit: window.unit.as_str(),
        units: window.units,
    };
    Ok(Counted::new(data, as_of))
}

macro_rules! breakdowns {
    ($($name:ident, $path:literal, $doc:literal, $dimension:ident;)*) => {$(
        #[doc = $doc]
        #[utoipa::path(
            get, path = $path, tag = "analytics",
            params(
                ("link" = String, Path, description = "The link's id or slug"),
                ("unit" = Option<String>, Query, description = "minute, hour, day, week or month; all of the time when absent with units"),
                ("units" = Option<u16>, Query, description = "How many, now included: 1 to 365"),
                ("size" = Option<u16>, Query, description = "How many rows: 1 to 1000; 10 when absent"),
                ("bots" = Option<String>, Query, description = "exclude, include or only; exclude when absent"),
        ("min_offset" = Option<u64>, Query, description = "Wait until this offset is counted: up to 10 s, then 504"),
            ),
            responses((status = 200, body = Counted<BreakdownView>), (status = 503, body = ProblemBody, content_type = "application/problem+json"), (status = 504, description = "`min_offset` was not counted in time", body = ProblemBody, content_type = "application/problem+json"))
        )]
        pub async fn $name(
            State(services): State<Services>,
            actor: Can<AnalyticsRead>,
            Name(name): Name,
            params: Params,
        ) -> Result<Json<Counted<BreakdownView>>, Problem> {
            breakdown(&services, &actor, &name, params, Dimension::$dimension).await
        }
    )*};
}

breakdowns! {
    countries, "/links/{link}/countries", "Clicks by country.", Country;
    cities, "/links/{link}/cities", "Clicks by city.", City;
    devices, "/links/{link}/devices", "Clicks by kind of device.", Device;
    browsers, "/links/{link}/browsers", "Clicks by browser.", Browser;
    operating_systems, "/links/{link}/operating-systems", "Clicks by operating system.", OperatingSystem;
    referrers, "/links/{link}/referrers", "Clicks by referring host; `direct` where there is none.", Referrer;
}

async fn breakdown(
    services: &Services,
    actor: &Actor,
    name: &str,
    params: Params,
    dimension: Dimension,
) -> Result<Json<Counted<BreakdownView>>, Problem> {
    let asked = Asked::take(params)?;
    let link = find(services, actor, name)?;
    let as_of = as_of(services, asked.min_offset).await?;
    let scope = scope(&link, &asked, asked.window_if_any(), as_of)?;
    let shares = services.analytics.breakdown(&scope, dimension, asked.size).await?;
    let metrics = shares.into_iter().map(|(value, clicks)| ShareView { dimension, value, clicks });
    Ok(Counted::new(BreakdownView { metrics: metrics.collect() }, as_of))
}

const fn key(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Country => "country",
        Dimension::City => "city",
        Dimension::Device => "device",
        Dimension::Browser => "browser",
        Dimension::OperatingSystem => "operating_system",
        Dimension::Referrer => "referrer",
    }
}

/// A value as people read it.
fn shown(dimension: Dimension, value: &str) -> String {
    match (dimension, value) {
        (Dimension::Country, code) => country::name(code).to_owned(),
        (Dimension::Referrer, "") => "direct".to_owned(),
        (_, "") => "Unknown".to_owned(),
        (_, value) => value.to_owned(),
    }
}

/// The workspace at a glance.
#[utoipa::path(
    get, path = "/analytics", tag = "analytics",
    params(
        ("days" = Option<u16>, Query, description = "How many days (UTC), today included: 1 to 365; 7 when absent"),
        ("bots" = Option<String>, Query, description = "exclude, include or only; exclude when absent"),
        ("min_offset" = Option<u64>, Query, description = "Wait until this offset is counted: up to 10 s, then 504"),
    ),
    responses((status = 200, body = Counted<OverviewView>), (status = 503, body = ProblemBody, content_type = "application/problem+json"), (status = 504, description = "`min_offset` was not counted in time", body = ProblemBody, content_type = "application/problem+json"))
)]
pub async fn overview(
    State(services): State<Services>,
    actor: Can<AnalyticsRead>,
    mut params: Params,
) -> Result<Json<Counted<OverviewView>>, Problem> {
    let days = params.number("days", 1, MAX_UNITS).unwrap_or(7);
    let bots = params.choice("bots", Bots::EVERY, Bots::as_str).unwrap_or_default();
    let min_offset = params.number("min_offset", 0, u64::MAX);
    params.finish()?;
    let as_of = as_of(&services, min_offset).await?;
    let window = Window { unit: Unit::Day, units: u16::try_from(days).unwrap_or(7) };
    let scope = Scope {
        workspace: actor.workspace,
        link: None,
        from: start(Some(window))?,
        bots,
        through: as_of.offset,
    };
    let totals = services.analytics.totals(&scope).await?;
    let top = services.analytics.top_links(&scope, TOP_LINKS).await?;
    let mut top_links = Vec::with_capacity(top.len());
    for (id, clicks) in top {
        // A link that was deleted since has no name to be shown by.
        if let Some(link) = services.links.get(actor.workspace, &LinkRef::Id(id))? {
            top_links.push(TopLinkView {
                id: id.to_string(),
                slug: link.slug.to_string(),
                destination: link.fields.destination.as_str().to_owned(),
                clicks,
            });
        }
    }
    let data = OverviewView {
        total_clicks: totals.clicks,
        unique_visitors: totals.visitors,
        conversions: 0,
        revenue: 0.0,
        top_links,
    };
    Ok(Counted::new(data, as_of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_people_read_them() {
        assert_eq!(shown(Dimension::Country, "DE"), "Germany");
        assert_eq!(shown(Dimension::Country, ""), "Unknown");
        assert_eq!(shown(Dimension::Referrer, ""), "direct");
        assert_eq!(shown(Dimension::Browser, ""), "Unknown");
        assert_eq!(shown(Dimension::Device, "mobile"), "mobile");
    }
}
