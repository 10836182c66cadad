//! Clicks of one link: over time, and by dimension.

use axum::Json;
use axum::extract::Path;
use serde::ser::{Serialize, SerializeMap, Serializer};
use utoipa::ToSchema;

use super::params::{AnalyticsParams, AnalyticsRequest, FilterParams, LimitParam, Subject};
use super::view::RangeView;
use super::{Counted, as_of};
use crate::domain::country;
use crate::domain::error::{Result, ServiceError};
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::Api;
use crate::http::native::links::find;
use crate::http::native::path_ref::PathRef;
use crate::http::params::Params;
use crate::queries::analytics::{
    AsOf, DateRange, Dimension, Granularity, Metric, Number, Row, Value,
};

/// Clicks over time.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct ClicksView {
    /// The buckets, oldest first, including empty ones.
    clicks: Vec<BucketView>,
    /// The length of a bucket.
    #[schema(value_type = Granularity)]
    unit: &'static str,
    /// The number of buckets.
    units: u64,
}

/// The clicks in a bucket of time.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct BucketView {
    /// The first day of the bucket; for buckets shorter than a day, its start time.
    #[schema(example = "2026-03-02")]
    pub date: String,
    /// The number of clicks.
    pub clicks: u64,
}

/// The clicks in a period.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct SummaryView {
    /// The number of clicks.
    total_clicks: u64,
    /// The unit of the period; null if `date_range` or `start` was given.
    #[schema(value_type = Option<Granularity>)]
    unit: Option<&'static str>,
    /// The number of units; null as `unit` is.
    units: Option<u64>,
    /// The period.
    date_range: RangeView,
}

/// Clicks by a dimension.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct BreakdownView {
    /// The values of the dimension, most clicks first, such as
    /// `{"country": "DE", "country_name": "Germany", "clicks": 3}`. An unknown value is null; an
    /// unknown referrer or source is that of a direct visit. Clicks of a QR code are named `scans`.
    #[schema(value_type = Vec<Object>)]
    metrics: Vec<ShareView>,
}

/// A value of a dimension and its clicks; the first field is named after the dimension.
#[derive(Debug)]
pub struct ShareView {
    pub dimension: Dimension,
    pub value: String,
    pub clicks: u64,
    /// What the clicks are called: `clicks` or `scans`.
    noun: &'static str,
}

impl Serialize for ShareView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_map(None)?;
        let value = Some(&self.value).filter(|value| !value.is_empty());
        row.serialize_entry(self.dimension.as_str(), &value)?;
        if let Some((key, name)) = name_of(self.dimension, &self.value) {
            row.serialize_entry(key, &name)?;
        }
        row.serialize_entry(self.noun, &self.clicks)?;
        row.end()
    }
}

/// Retrieves a link's clicks over time, for the last seven days by default.
#[utoipa::path(
    get, path = "/links/{link}/clicks",
    params(AnalyticsParams, FilterParams),
    responses((status = 200, body = Counted<ClicksView>)),
)]
pub async fn clicks(
    Api { services, actor }: Api,
    name: PathRef,
    params: Params,
) -> Result<Json<Counted<ClicksView>>> {
    let request = AnalyticsRequest::take(params, &services, &actor)?.unlimited()?;
    let link = find(&services, &actor, &name)?;
    let (buckets, unit, as_of) = over_time(&services, &request, &[Subject::Link(link.id)]).await?;
    let units = buckets.len() as u64;
    Ok(Counted::new(ClicksView { clicks: buckets, unit: unit.as_str(), units }, as_of))
}

/// Clicks over time, oldest first, and the length of a bucket; for the last seven days by default.
pub async fn over_time(
    services: &Services,
    request: &AnalyticsRequest,
    of: &[Subject],
) -> Result<(Vec<BucketView>, Granularity, AsOf)> {
    let unit = request.unit.unwrap_or(Granularity::Day);
    let period = request.period(&DateRange::Last(unit, request.units.unwrap_or(7)))?;
    let as_of = as_of(services, request.min_offset).await?;
    let mut query = request.query(of, &[Metric::Clicks], period);
    query.dimensions = vec![Dimension::Time];
    query.granularity = Some(unit);
    query.limit = u32::MAX;
    let report = services.analytics.run(&query, as_of).await?;
    let buckets = report.rows.iter().filter_map(|row| bucket(row, unit, request)).collect();
    Ok((buckets, unit, as_of))
}

/// A row of clicks over time.
pub fn bucket(row: &Row, unit: Granularity, request: &AnalyticsRequest) -> Option<BucketView> {
    match (row.dimensions.as_slice(), row.metrics.as_slice()) {
        ([Value::Time(start)], [Number::Count(clicks), ..]) => {
            Some(BucketView { date: unit.label(*start, &request.zone), clicks: *clicks })
        }
        _ => None,
    }
}

/// Retrieves a link's total clicks, for this month by default.
#[utoipa::path(
    get, path = "/links/{link}/clicks/summary",
    params(AnalyticsParams, FilterParams),
    responses((status = 200, body = Counted<SummaryView>)),
)]
pub async fn summary(
    Api { services, actor }: Api,
    name: PathRef,
    params: Params,
) -> Result<Json<Counted<SummaryView>>> {
    let request = AnalyticsRequest::take(params, &services, &actor)?.unlimited()?;
    let link = find(&services, &actor, &name)?;
    let (unit, units) = (request.unit.unwrap_or(Granularity::Month), request.units.unwrap_or(1));
    let period = request.period(&DateRange::Last(unit, units))?;
    let as_of = as_of(&services, request.min_offset).await?;
    let query = request.query(&[Subject::Link(link.id)], &[Metric::Clicks], period);
    let report = services.analytics.run(&query, as_of).await?;
    let total_clicks = report.rows.first().map_or(0, clicks_of);
    let is_by_units = !request.has_range();
    let view = SummaryView {
        total_clicks,
        unit: is_by_units.then_some(unit.as_str()),
        units: u64::try_from(units).ok().filter(|_| is_by_units),
        date_range: report.period.into(),
    };
    Ok(Counted::new(view, as_of))
}

/// The first metric of a row, if it is a count.
pub fn clicks_of(row: &Row) -> u64 {
    match row.metrics.first() {
        Some(Number::Count(clicks)) => *clicks,
        _ => 0,
    }
}

/// Declares the handlers of breakdowns, which `$breakdown` answers.
macro_rules! breakdowns {
    ($breakdown:ident: $($name:ident, $path:literal, $dimension:ident, $doc:literal;)*) => {$(
        #[doc = $doc]
        #[utoipa::path(
            get, path = $path,
            params(AnalyticsParams, LimitParam, FilterParams),
            responses((status = 200, body = Counted<BreakdownView>)),
        )]
        pub async fn $name(
            Api { services, actor }: Api,
            name: PathRef,
            params: Params,
        ) -> Result<Json<Counted<BreakdownView>>> {
            $breakdown(&services, &actor, &name, params, Dimension::$dimension).await
        }
    )*};
}
pub(in crate::http::native) use breakdowns;

breakdowns! { breakdown_of_link:
    continents, "/links/{link}/continents", Continent,
        "Counts a link's clicks by continent, over all time by default.";
    countries, "/links/{link}/countries", Country,
        "Counts a link's clicks by country, over all time by default.";
    regions, "/links/{link}/regions", Region,
        "Counts a link's clicks by region, over all time by default.";
    cities, "/links/{link}/cities", City,
        "Counts a link's clicks by city, over all time by default.";
    devices, "/links/{link}/devices", Device,
        "Counts a link's clicks by type of device, over all time by default.";
    browsers, "/links/{link}/browsers", Browser,
        "Counts a link's clicks by browser, over all time by default.";
    operating_systems, "/links/{link}/operating-systems", Os,
        "Counts a link's clicks by operating system, over all time by default.";
    referrers, "/links/{link}/referrers", Referrer,
        "Counts a link's clicks by referring host, over all time by default.";
    sources, "/links/{link}/sources", Source,
        "Counts a link's clicks by referring site, whatever its host: `Google`, `Facebook`, …; over all time by default.";
    languages, "/links/{link}/languages", Language,
        "Counts a link's clicks by preferred language, over all time by default.";
    tags, "/links/{link}/tags", Tag,
        "Counts a link's clicks by the tags that it had, over all time by default.";
    folders, "/links/{link}/folders", Folder,
        "Counts a link's clicks by the folder that it was in, over all time by default.";
    campaigns, "/links/{link}/campaigns", Campaign,
        "Counts a link's clicks by the campaign that it belonged to, over all time by default.";
}

/// Counts a link's clicks by a UTM parameter, over all time by default.
#[utoipa::path(
    get, path = "/links/{link}/utm/{which}",
    params(AnalyticsParams, LimitParam, FilterParams),
    responses((status = 200, body = Counted<BreakdownView>)),
)]
pub async fn utm(
    Api { services, actor }: Api,
    name: PathRef,
    Path((_link, which)): Path<(String, String)>,
    params: Params,
) -> Result<Json<Counted<BreakdownView>>> {
    let dimension = Dimension::named(&format!("utm_{which}"));
    let dimension = dimension.ok_or_else(|| ServiceError::not_found("UTM parameter"))?;
    breakdown_of_link(&services, &actor, &name, params, dimension).await
}

async fn breakdown_of_link(
    services: &Services,
    actor: &Actor,
    name: &PathRef,
    params: Params,
    dimension: Dimension,
) -> Result<Json<Counted<BreakdownView>>> {
    let request = AnalyticsRequest::take(params, services, actor)?;
    let link = find(services, actor, name)?;
    breakdown(services, &request, (&[Subject::Link(link.id)], "clicks"), dimension).await
}

/// Clicks by a dimension, over all time by default; `noun` is what they are called.
pub async fn breakdown(
    services: &Services,
    request: &AnalyticsRequest,
    (of, noun): (&[Subject], &'static str),
    dimension: Dimension,
) -> Result<Json<Counted<BreakdownView>>> {
    let period = request.period(&DateRange::All)?;
    let as_of = as_of(services, request.min_offset).await?;
    let mut query = request.query(of, &[Metric::Clicks], period);
    query.dimensions = vec![dimension];
    query.limit = request.rows();
    let report = services.analytics.run(&query, as_of).await?;
    let shares = report.rows.iter().filter_map(|row| share(row, dimension));
    let metrics = shares.map(|share| ShareView { noun, ..share }).collect();
    Ok(Counted::new(BreakdownView { metrics }, as_of))
}

/// A row of a breakdown.
pub fn share(row: &Row, dimension: Dimension) -> Option<ShareView> {
    match row.dimensions.as_slice() {
        [Value::Text(value)] => {
            let (value, clicks) = (value.clone(), clicks_of(row));
            Some(ShareView { dimension, value, clicks, noun: "clicks" })
        }
        _ => None,
    }
}

/// The name of a value that is a code, and its field: null if the value is unknown.
pub fn name_of(dimension: Dimension, code: &str) -> Option<(&'static str, Option<&str>)> {
    let (field, name) = match dimension {
        Dimension::Country => ("country_name", country::name(code)),
        Dimension::Continent => ("continent_name", country::continent_name(code)),
        _ => return None,
    };
    Some((field, Some(name).filter(|_| !code.is_empty())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn codes_have_names_and_unknown_values_are_null() {
        let row = |dimension, value: &str| {
            let value = value.to_owned();
            json!(ShareView { dimension, value, clicks: 3, noun: "clicks" })
        };
        for (dimension, value, shown) in [
            (Dimension::Country, "DE", json!({ "country": "DE", "country_name": "Germany" })),
            (Dimension::Country, "", json!({ "country": null, "country_name": null })),
            (Dimension::Continent, "EU", json!({ "continent": "EU", "continent_name": "Europe" })),
            (Dimension::Referrer, "", json!({ "referrer": null })),
            (Dimension::Os, "iOS", json!({ "os": "iOS" })),
        ] {
            let mut shown = shown;
            shown["clicks"] = json!(3);
            assert_eq!(row(dimension, value), shown);
        }
    }
}
