//! Scans of one QR code: over time, in total, and by dimension.

use std::collections::HashMap;

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::find;
use super::view::QrCodeView;
use crate::domain::error::Result;
use crate::domain::ids::WorkspaceId;
use crate::domain::qr::QrCode;
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::Api;
use crate::http::native::analytics::links::{
    BreakdownView, BucketView, breakdown, breakdowns, over_time,
};
use crate::http::native::analytics::overview::clicks_and_visitors;
use crate::http::native::analytics::params::{
    AnalyticsParams, AnalyticsRequest, FilterParams, LimitParam, Subject,
};
use crate::http::native::analytics::view::RangeView;
use crate::http::native::analytics::{Counted, as_of};
use crate::http::native::path_ref::PathRef;
use crate::http::params::Params;
use crate::queries::analytics::{DateRange, Dimension, Granularity, Metric};
use crate::queries::qr_codes::LinkedQrCode;

/// Scans over time.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScansView {
    /// The buckets, oldest first, including empty ones.
    scans: Vec<ScanBucketView>,
    /// The length of a bucket.
    #[schema(value_type = Granularity)]
    unit: &'static str,
    /// The number of buckets.
    units: u64,
}

/// The scans in a bucket of time.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScanBucketView {
    /// The first day of the bucket; for buckets shorter than a day, its start time.
    #[schema(example = "2026-03-02")]
    date: String,
    /// The number of scans.
    scans: u64,
}

/// The scans in a period.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScanSummaryView {
    /// The number of scans.
    total_scans: u64,
    /// The number of unique visitors.
    unique_visitors: u64,
    /// The period.
    date_range: RangeView,
}

/// A code's scans; `None` while analytics are unavailable.
pub async fn total(services: &Services, code: &QrCode) -> Option<u64> {
    let scans = services.analytics.scans(code.workspace, &[code.id]).await?;
    Some(scans.get(&code.id).copied().unwrap_or_default())
}

/// The views of a workspace's codes with their scans.
pub async fn counted(
    services: &Services,
    workspace: WorkspaceId,
    codes: Vec<LinkedQrCode>,
) -> Vec<QrCodeView> {
    let ids: Vec<_> = codes.iter().map(|code| code.code.id).collect();
    let scans = if ids.is_empty() { None } else { services.analytics.scans(workspace, &ids).await };
    let view = |code: LinkedQrCode| {
        let of_code = |scans: &HashMap<_, _>| scans.get(&code.code.id).copied().unwrap_or_default();
        let total_scans = scans.as_ref().map(of_code);
        QrCodeView::new(services, code, total_scans)
    };
    codes.into_iter().map(view).collect()
}

/// Retrieves a QR code's scans over time, for the last seven days by default.
#[utoipa::path(
    get, path = "/qr-codes/{qr_code}/scans",
    params(AnalyticsParams, FilterParams),
    responses((status = 200, body = Counted<ScansView>)),
)]
pub async fn list(
    Api { services, actor }: Api,
    name: PathRef,
    params: Params,
) -> Result<Json<Counted<ScansView>>> {
    let request = AnalyticsRequest::take(params, &services, &actor)?.unlimited()?;
    let code = Subject::QrCode(find(&services, &actor, &name)?.code.id);
    let (buckets, unit, as_of) = over_time(&services, &request, &[code]).await?;
    let scans = |BucketView { date, clicks }| ScanBucketView { date, scans: clicks };
    let scans: Vec<_> = buckets.into_iter().map(scans).collect();
    let units = scans.len() as u64;
    Ok(Counted::new(ScansView { scans, unit: unit.as_str(), units }, as_of))
}

/// Retrieves a QR code's total scans, over all time by default.
#[utoipa::path(
    get, path = "/qr-codes/{qr_code}/scans/summary",
    params(AnalyticsParams, FilterParams),
    responses((status = 200, body = Counted<ScanSummaryView>)),
)]
pub async fn summary(
    Api { services, actor }: Api,
    name: PathRef,
    params: Params,
) -> Result<Json<Counted<ScanSummaryView>>> {
    let request = AnalyticsRequest::take(params, &services, &actor)?.unlimited()?;
    let code = Subject::QrCode(find(&services, &actor, &name)?.code.id);
    let period = request.period(&DateRange::All)?;
    let as_of = as_of(&services, request.min_offset).await?;
    let query = request.query(&[code], &[Metric::Clicks, Metric::UniqueVisitors], period);
    let report = services.analytics.run(&query, as_of).await?;
    let (total_scans, unique_visitors) = clicks_and_visitors(&report);
    let date_range = report.period.into();
    Ok(Counted::new(ScanSummaryView { total_scans, unique_visitors, date_range }, as_of))
}

breakdowns! { breakdown_of_code:
    continents, "/qr-codes/{qr_code}/continents", Continent,
        "Counts a QR code's scans by continent, over all time by default.";
    countries, "/qr-codes/{qr_code}/countries", Country,
        "Counts a QR code's scans by country, over all time by default.";
    regions, "/qr-codes/{qr_code}/regions", Region,
        "Counts a QR code's scans by region, over all time by default.";
    cities, "/qr-codes/{qr_code}/cities", City,
        "Counts a QR code's scans by city, over all time by default.";
    devices, "/qr-codes/{qr_code}/devices", Device,
        "Counts a QR code's scans by type of device, over all time by default.";
    browsers, "/qr-codes/{qr_code}/browsers", Browser,
        "Counts a QR code's scans by browser, over all time by default.";
    operating_systems, "/qr-codes/{qr_code}/operating-systems", Os,
        "Counts a QR code's scans by operating system, over all time by default.";
    languages, "/qr-codes/{qr_code}/languages", Language,
        "Counts a QR code's scans by preferred language, over all time by default.";
}

async fn breakdown_of_code(
    services: &Services,
    actor: &Actor,
    name: &PathRef,
    params: Params,
    dimension: Dimension,
) -> Result<Json<Counted<BreakdownView>>> {
    let request = AnalyticsRequest::take(params, services, actor)?;
    let code = find(services, actor, name)?.code;
    // The link is where the table is sorted by.
    let of = [Subject::Link(code.link), Subject::QrCode(code.id)];
    breakdown(services, &request, (&of, "scans"), dimension).await
}
