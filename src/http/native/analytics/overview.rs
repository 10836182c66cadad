//! A workspace at a glance, and a link.

use axum::Json;
use axum::extract::State;
use utoipa::ToSchema;
use uuid::Uuid;

use super::asked::{Asked, Asking, days_of};
use super::links::{BucketView, ShareView, bucket, share};
use super::scope::Resolver;
use super::{Counted, as_of};
use crate::domain::command::LinkRef;
use crate::domain::ids::LinkId;
use crate::http::Services;
use crate::http::auth::{AnalyticsRead, Can};
use crate::http::native::links::find;
use crate::http::params::{Name, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::queries::analytics::{AnalyticsQuery, Dimension, Metric, Number, Report, Row, Value};

const TOP_LINKS: u32 = 10;
const DEFAULT_DAYS: u64 = 7;

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
    /// Oldest first; empty buckets are there.
    timeseries: Vec<BucketView>,
}

/// A link and its clicks.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct TopLinkView {
    id: String,
    slug: String,
    /// Null for a link that is not of kind `url`.
    destination: Option<String>,
    clicks: u64,
}

/// A link at a glance.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct LinkOverviewView {
    id: String,
    slug: String,
    total_clicks: u64,
    unique_visitors: u64,
    /// Oldest first; empty buckets are there.
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

/// The workspace at a glance: the last seven days unless it is said.
#[utoipa::path(
    get, path = "/analytics", tag = "analytics",
    params(
        Asking,
    ),
    responses((status = 200, body = Counted<OverviewView>), (status = 503, body = ProblemBody, content_type = "application/problem+json"), (status = 504, description = "`min_offset` was not counted in time", body = ProblemBody, content_type = "application/problem+json"))
)]
pub async fn overview(
    State(services): State<Services>,
    actor: Can<AnalyticsRead>,
    params: Params,
) -> Result<Json<Counted<OverviewView>>, Problem> {
    let resolver = Resolver { services: &services, workspace: actor.workspace };
    let asked = Asked::take(params, &resolver)?;
    let period = asked.period(&days_of(DEFAULT_DAYS))?;
    let as_of = as_of(&services, asked.min_offset).await?;
    let both = [Metric::Clicks, Metric::UniqueVisitors];
    let totals = asked.question(&resolver, None, &both, period);
    let mut top = asked.question(&resolver, None, &[Metric::Clicks], period);
    top.dimensions = vec![Dimension::Link];
    top.limit = TOP_LINKS;
    let over_time = over_time(asked.question(&resolver, None, &[Metric::Clicks], period));
    let run = |query| async {
        let query: AnalyticsQuery = query;
        services.analytics.run(&query, as_of).await
    };
    let (totals, top, over_time) = tokio::try_join!(run(totals), run(top), run(over_time))?;
    let mut top_links = Vec::new();
    for row in &top.rows {
        let [Value::Text(id)] = row.dimensions.as_slice() else { continue };
        let Ok(id) = Uuid::parse_str(id).map(LinkId::new) else { continue };
        // A link that was deleted since has no name to be shown by.
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
        timeseries: timeseries(&over_time, &asked),
    };
    Ok(Counted::new(data, as_of))
}

/// One link at a glance: the last seven days unless it is said.
#[utoipa::path(
    get, path = "/analytics/links/{link}", tag = "analytics",
    params(
        ("link" = String, Path, description = "The link's id or slug"),
        Asking,
    ),
    responses((status = 200, body = Counted<LinkOverviewView>), (status = 404, body = ProblemBody, content_type = "application/problem+json"), (status = 503, body = ProblemBody, content_type = "application/problem+json"))
)]
pub async fn link_overview(
    State(services): State<Services>,
    actor: Can<AnalyticsRead>,
    Name(name): Name,
    params: Params,
) -> Result<Json<Counted<LinkOverviewView>>, Problem> {
    let resolver = Resolver { services: &services, workspace: actor.workspace };
    let asked = Asked::take(params, &resolver)?;
    let link = find(&services, &actor, &name)?;
    let period = asked.period(&days_of(DEFAULT_DAYS))?;
    let as_of = as_of(&services, asked.min_offset).await?;
    let id = Some(link.id.uuid());
    let both = [Metric::Clicks, Metric::UniqueVisitors];
    let totals = asked.question(&resolver, id, &both, period);
    let clicks = asked.question(&resolver, id, &[Metric::Clicks], period);
    let by = |dimension| AnalyticsQuery {
        dimensions: vec![dimension],
        limit: asked.size,
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
        timeseries: timeseries(&over_time, &asked),
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

fn timeseries(report: &Report, asked: &Asked) -> Vec<BucketView> {
    let Some(unit) = report.granularity else { return Vec::new() };
    report.rows.iter().filter_map(|row| bucket(row, unit, asked)).collect()
}

fn clicks_and_visitors(report: &Report) -> (u64, u64) {
    match report.rows.first().map(|row: &Row| row.metrics.as_slice()) {
        Some([Number::Count(clicks), Number::Count(visitors)]) => (*clicks, *visitors),
        _ => (0, 0),
    }
}
