//! Key figures of a workspace, and of a link.

use axum::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::links::{BucketView, ShareView, bucket, share};
use super::params::{
    AnalyticsParams, AnalyticsRequest, FilterParams, LimitParam, Subject, days_of,
};
use super::{Counted, as_of};
use crate::domain::command::LinkRef;
use crate::domain::error::Result;
use crate::domain::ids::LinkId;
use crate::http::auth::Api;
use crate::http::native::links::find;
use crate::http::native::path_ref::PathRef;
use crate::http::params::Params;
use crate::queries::analytics::{AnalyticsQuery, Dimension, Metric, Number, Report, Row, Value};

const DEFAULT_DAYS: u64 = 7;

/// Key figures of a workspace.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct OverviewView {
    /// The number of clicks.
    total_clicks: u64,
    /// The number of unique visitors.
    unique_visitors: u64,
    /// 0 until conversions are recorded.
    conversions: u64,
    /// 0 until conversions are recorded.
    revenue: f64,
    /// The links with the most clicks.
    top_links: Vec<TopLinkView>,
    /// The clicks over time, oldest first, including empty buckets.
    timeseries: Vec<BucketView>,
}

/// A link and its clicks.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct TopLinkView {
    id: String,
    slug: String,
    /// Null unless the kind is `url`.
    destination: Option<String>,
    clicks: u64,
}

/// Key figures of a link.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct LinkOverviewView {
    id: String,
    slug: String,
    total_clicks: u64,
    unique_visitors: u64,
    /// The clicks over time, oldest first, including empty buckets.
    timeseries: Vec<BucketView>,
    #[schema(value_type = Vec<Object>)]
    countries: Vec<ShareView>,
    #[schema(value_type = Vec<Object>)]
    devices: Vec<ShareView>,
    #[schema(value_type = Vec<Object>)]
    browsers: Vec<ShareView>,
    #[schema(value_type = Vec<Object>)]
    referrers: Vec<ShareView>,
}

/// Retrieves the workspace's key figures, for the last seven days by default.
#[utoipa::path(
    get, path = "/analytics",
    params(AnalyticsParams, LimitParam, FilterParams),
    responses((status = 200, body = Counted<OverviewView>)),
)]
pub async fn overview(
    Api { services, actor }: Api,
    params: Params,
) -> Result<Json<Counted<OverviewView>>> {
    let request = AnalyticsRequest::take(params, &services, &actor)?;
    let period = request.period(&days_of(DEFAULT_DAYS))?;
    let as_of = as_of(&services, request.min_offset).await?;
    let both = [Metric::Clicks, Metric::UniqueVisitors];
    let totals = request.query(&[], &both, period);
    let mut top = request.query(&[], &[Metric::Clicks], period);
    top.dimensions = vec![Dimension::Link];
    top.limit = request.rows();
    let over_time = over_time(request.query(&[], &[Metric::Clicks], period));
    let run = |query| async {
        let query: AnalyticsQuery = query;
        services.analytics.run(&query, as_of).await
    };
    let (totals, top, over_time) = tokio::try_join!(run(totals), run(top), run(over_time))?;
    let mut top_links = Vec::new();
    for row in &top.rows {
        let [Value::Text(id)] = row.dimensions.as_slice() else { continue };
        let Ok(id) = Uuid::parse_str(id).map(LinkId::new) else { continue };
        // Omit links that have been deleted since.
        if let Some(link) = services.links.get(actor.workspace, &LinkRef::Id(id))? {
            top_links.push(TopLinkView {
                id: id.to_string(),
                slug: link.slug.to_string(),
                destination: link.fields.content.destination().map(|url| url.as_str().to_owned()),
                clicks: super::links::clicks_of(row),
            });
        }
    }
    let (total_clicks, unique_visitors) = clicks_and_visitors(&totals);
    let data = OverviewView {
        total_clicks,
        unique_visitors,
        conversions: 0,
        revenue: 0.0,
        top_links,
        timeseries: timeseries(&over_time, &request),
    };
    Ok(Counted::new(data, as_of))
}

/// Retrieves a link's key figures, for the last seven days by default.
#[utoipa::path(
    get, path = "/analytics/links/{link}",
    params(AnalyticsParams, LimitParam, FilterParams),
    responses((status = 200, body = Counted<LinkOverviewView>)),
)]
pub async fn link_overview(
    Api { services, actor }: Api,
    name: PathRef,
    params: Params,
) -> Result<Json<Counted<LinkOverviewView>>> {
    let request = AnalyticsRequest::take(params, &services, &actor)?;
    let link = find(&services, &actor, &name)?;
    let period = request.period(&days_of(DEFAULT_DAYS))?;
    let as_of = as_of(&services, request.min_offset).await?;
    let id = &[Subject::Link(link.id)];
    let both = [Metric::Clicks, Metric::UniqueVisitors];
    let totals = request.query(id, &both, period);
    let clicks = request.query(id, &[Metric::Clicks], period);
    let by = |dimension| AnalyticsQuery {
        dimensions: vec![dimension],
        limit: request.rows(),
        ..clicks.clone()
    };
    let run = |query| async {
        let query: AnalyticsQuery = query;
        services.analytics.run(&query, as_of).await
    };
    let (totals, over_time, countries, devices, browsers, referrers) = tokio::try_join!(
        run(totals),
        run(over_time(clicks.clone())),
        run(by(Dimension::Country)),
        run(by(Dimension::Device)),
        run(by(Dimension::Browser)),
        run(by(Dimension::Referrer)),
    )?;
    let shares = |report: &Report, dimension| -> Vec<ShareView> {
        report.rows.iter().filter_map(|row| share(row, dimension)).collect()
    };
    let (total_clicks, unique_visitors) = clicks_and_visitors(&totals);
    let data = LinkOverviewView {
        id: link.id.to_string(),
        slug: link.slug.to_string(),
        total_clicks,
        unique_visitors,
        timeseries: timeseries(&over_time, &request),
        countries: shares(&countries, Dimension::Country),
        devices: shares(&devices, Dimension::Device),
        browsers: shares(&browsers, Dimension::Browser),
        referrers: shares(&referrers, Dimension::Referrer),
    };
    Ok(Counted::new(data, as_of))
}

fn over_time(query: AnalyticsQuery) -> AnalyticsQuery {
    AnalyticsQuery { dimensions: vec![Dimension::Time], limit: u32::MAX, ..query }
}

fn timeseries(report: &Report, request: &AnalyticsRequest) -> Vec<BucketView> {
    let Some(unit) = report.granularity else { return Vec::new() };
    report.rows.iter().filter_map(|row| bucket(row, unit, request)).collect()
}

/// The first two metrics of a report of totals.
pub fn clicks_and_visitors(report: &Report) -> (u64, u64) {
    match report.rows.first().map(|row: &Row| row.metrics.as_slice()) {
        Some([Number::Count(clicks), Number::Count(visitors)]) => (*clicks, *visitors),
        _ => (0, 0),
    }
}
