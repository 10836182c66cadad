//! One link's clicks: over time, and by what they have in common.

use axum::Json;
use axum::extract::{Path, State};
use serde::ser::{Serialize, SerializeMap, Serializer};
use utoipa::ToSchema;

use super::asked::{Asked, Asking};
use super::scope::Resolver;
use super::{Counted, as_of};
use crate::domain::country;
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::{AnalyticsRead, Can};
use crate::http::native::links::find;
use crate::http::params::{Name, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::queries::analytics::{
    DateRange, Dimension, Granularity, Key, Metric, Number, Order, Row, Value,
};

/// Clicks over time.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct ClicksView {
    /// Newest first; empty buckets are there.
    clicks: Vec<BucketView>,
    unit: &'static str,
    units: u64,
}

/// One bucket.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct BucketView {
    /// The bucket's day (a week's Monday, a month's first); its first instant below a day.
    #[schema(example = "2026-03-02")]
    pub date: String,
    pub clicks: u64,
}

/// Clicks in a span of time.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct SummaryView {
    total_clicks: u64,
    unit: &'static str,
    units: u64,
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
pub struct ShareView {
    pub dimension: Dimension,
    pub value: String,
    pub clicks: u64,
}

impl Serialize for ShareView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_map(Some(2))?;
        row.serialize_entry(key(self.dimension), &shown(self.dimension, &self.value))?;
        row.serialize_entry("clicks", &self.clicks)?;
        row.end()
    }
}

/// Clicks over time: the last seven days unless it is said.
#[utoipa::path(
    get, path = "/links/{link}/clicks", tag = "analytics",
    params(
        ("link" = String, Path, description = "The link's id or slug"),
        Asking,
    ),
    responses((status = 200, body = Counted<ClicksView>), (status = 503, body = ProblemBody, content_type = "application/problem+json"), (status = 504, description = "`min_offset` was not counted in time", body = ProblemBody, content_type = "application/problem+json"))
)]
pub async fn clicks(
    State(services): State<Services>,
    actor: Can<AnalyticsRead>,
    Name(name): Name,
    params: Params,
) -> Result<Json<Counted<ClicksView>>, Problem> {
    let resolver = Resolver { services: &services, workspace: actor.workspace };
    let asked = Asked::take(params, &resolver)?;
    let link = find(&services, &actor, &name)?;
    let unit = asked.unit.unwrap_or(Granularity::Day);
    let period = asked.period(&DateRange::Last(unit, asked.units.unwrap_or(7)))?;
    let as_of = as_of(&services, asked.min_offset).await?;
    let mut query = asked.question(&resolver, Some(link.id.uuid()), &[Metric::Clicks], period);
    query.dimensions = vec![Dimension::Time];
    query.granularity = Some(unit);
    query.order = vec![Order { key: Key::Dimension(Dimension::Time), is_descending: true }];
    query.limit = u32::MAX;
    let report = services.analytics.run(&query, as_of).await?;
    let clicks = report.rows.iter().filter_map(|row| bucket(row, unit, &asked)).collect();
    let data = ClicksView { clicks, unit: unit.as_str(), units: report.total };
    Ok(Counted::new(data, as_of))
}

/// A row of clicks over time.
pub fn bucket(row: &Row, unit: Granularity, asked: &Asked) -> Option<BucketView> {
    match (row.dimensions.as_slice(), row.metrics.as_slice()) {
        ([Value::Time(start)], [Number::Count(clicks), ..]) => {
            Some(BucketView { date: unit.label(*start, &asked.zone), clicks: *clicks })
        }
        _ => None,
    }
}

/// All clicks of a span of time: of this month unless it is said.
#[utoipa::path(
    get, path = "/links/{link}/clicks/summary", tag = "analytics",
    params(
        ("link" = String, Path, description = "The link's id or slug"),
        Asking,
    ),
    responses((status = 200, body = Counted<SummaryView>), (status = 503, body = ProblemBody, content_type = "application/problem+json"), (status = 504, description = "`min_offset` was not counted in time", body = ProblemBody, content_type = "application/problem+json"))
)]
pub async fn summary(
    State(services): State<Services>,
    actor: Can<AnalyticsRead>,
    Name(name): Name,
    params: Params,
) -> Result<Json<Counted<SummaryView>>, Problem> {
    let resolver = Resolver { services: &services, workspace: actor.workspace };
    let asked = Asked::take(params, &resolver)?;
    let link = find(&services, &actor, &name)?;
    let (unit, units) = (asked.unit.unwrap_or(Granularity::Month), asked.units.unwrap_or(1));
    let period = asked.period(&DateRange::Last(unit, units))?;
    let as_of = as_of(&services, asked.min_offset).await?;
    let query = asked.question(&resolver, Some(link.id.uuid()), &[Metric::Clicks], period);
    let report = services.analytics.run(&query, as_of).await?;
    let total_clicks = report.rows.first().map_or(0, clicks_of);
    let units = u64::try_from(units).unwrap_or(1);
    Ok(Counted::new(SummaryView { total_clicks, unit: unit.as_str(), units }, as_of))
}

/// The first metric of a row, where it is a count.
pub fn clicks_of(row: &Row) -> u64 {
    match row.metrics.first() {
        Some(Number::Count(clicks)) => *clicks,
        _ => 0,
    }
}

macro_rules! breakdowns {
    ($($name:ident, $path:literal, $doc:literal, $dimension:ident;)*) => {$(
        #[doc = $doc]
        #[utoipa::path(
            get, path = $path, tag = "analytics",
            params(
                ("link" = String, Path, description = "The link's id or slug"),
                Asking,
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
    continents, "/links/{link}/continents", "Clicks by continent.", Continent;
    countries, "/links/{link}/countries", "Clicks by country.", Country;
    regions, "/links/{link}/regions", "Clicks by region.", Region;
    cities, "/links/{link}/cities", "Clicks by city.", City;
    devices, "/links/{link}/devices", "Clicks by kind of device.", Device;
    browsers, "/links/{link}/browsers", "Clicks by browser.", Browser;
    operating_systems, "/links/{link}/operating-systems", "Clicks by operating system.", Os;
    referrers, "/links/{link}/referrers", "Clicks by referring host; `direct` where there is none.", Referrer;
    languages, "/links/{link}/languages", "Clicks by the visitor's first language.", Language;
}

/// Clicks by one of the UTM parameters: of all of the time unless it is said.
#[utoipa::path(
    get, path = "/links/{link}/utm/{which}", tag = "analytics",
    params(
        ("link" = String, Path, description = "The link's id or slug"),
        ("which" = String, Path, description = "source, medium, campaign, content or term"),
        Asking,
    ),
    responses((status = 200, body = Counted<BreakdownView>), (status = 404, body = ProblemBody, content_type = "application/problem+json"), (status = 503, body = ProblemBody, content_type = "application/problem+json"))
)]
pub async fn utm(
    State(services): State<Services>,
    actor: Can<AnalyticsRead>,
    Path((name, which)): Path<(String, String)>,
    params: Params,
) -> Result<Json<Counted<BreakdownView>>, Problem> {
    let dimension = Dimension::parse(&format!("utm_{which}"));
    let dimension = dimension.ok_or_else(|| Problem::not_found("UTM parameter"))?;
    breakdown(&services, &actor, &name, params, dimension).await
}

async fn breakdown(
    services: &Services,
    actor: &Actor,
    name: &str,
    params: Params,
    dimension: Dimension,
) -> Result<Json<Counted<BreakdownView>>, Problem> {
    let resolver = Resolver { services, workspace: actor.workspace };
    let asked = Asked::take(params, &resolver)?;
    let link = find(services, actor, name)?;
    let period = asked.period(&DateRange::All)?;
    let as_of = as_of(services, asked.min_offset).await?;
    let mut query = asked.question(&resolver, Some(link.id.uuid()), &[Metric::Clicks], period);
    query.dimensions = vec![dimension];
    query.limit = asked.size;
    let report = services.analytics.run(&query, as_of).await?;
    let metrics = report.rows.iter().filter_map(|row| share(row, dimension)).collect();
    Ok(Counted::new(BreakdownView { metrics }, as_of))
}

/// A row of a breakdown.
pub fn share(row: &Row, dimension: Dimension) -> Option<ShareView> {
    match row.dimensions.as_slice() {
        [Value::Text(value)] => {
            Some(ShareView { dimension, value: value.clone(), clicks: clicks_of(row) })
        }
        _ => None,
    }
}

const fn key(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Os => "operating_system",
        other => other.as_str(),
    }
}

/// A value as people read it.
fn shown(dimension: Dimension, value: &str) -> String {
    match (dimension, value) {
        (Dimension::Country, code) => country::name(code).to_owned(),
        (Dimension::Continent, code) => country::continent_name(code).to_owned(),
        (Dimension::Referrer, "") => "direct".to_owned(),
        (_, "") => "Unknown".to_owned(),
        (_, value) => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_people_read_them() {
        assert_eq!(shown(Dimension::Country, "DE"), "Germany");
        assert_eq!(shown(Dimension::Country, ""), "Unknown");
        assert_eq!(shown(Dimension::Continent, "EU"), "Europe");
        assert_eq!(shown(Dimension::Referrer, ""), "direct");
        assert_eq!(shown(Dimension::Browser, ""), "Unknown");
        assert_eq!(shown(Dimension::Device, "mobile"), "mobile");
    }
}
