//! Blocked visits: of one link, and of all.

use axum::Json;
use utoipa::ToSchema;

use super::params::{AnalyticsParams, AnalyticsRequest, Subject};
use super::{Counted, as_of};
use crate::domain::error::Result;
use crate::http::Services;
use crate::http::auth::Api;
use crate::http::native::links::find;
use crate::http::native::path_ref::PathRef;
use crate::http::native::schema::BlockReason;
use crate::http::params::Params;
use crate::queries::analytics::{Blocked, DateRange, Metric};

/// Visits that were blocked. None of them counts as a click.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct BlockedView {
    /// Blocked visits without bots.
    visits: u64,
    /// Blocked visits of bots.
    bot_visits: u64,
    /// The visits by reason, most visits first.
    reasons: Vec<BlockedByReason>,
}

/// The visits that were blocked for one reason.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct BlockedByReason {
    /// Why the visits were blocked.
    #[schema(value_type = BlockReason)]
    reason: String,
    /// Blocked visits without bots.
    visits: u64,
    /// Blocked visits of bots.
    bot_visits: u64,
}

impl From<Vec<Blocked>> for BlockedView {
    fn from(blocked: Vec<Blocked>) -> Self {
        let view =
            |Blocked { reason, visits, bots }| BlockedByReason { reason, visits, bot_visits: bots };
        Self {
            visits: blocked.iter().map(|one| one.visits).sum(),
            bot_visits: blocked.iter().map(|one| one.bots).sum(),
            reasons: blocked.into_iter().map(view).collect(),
        }
    }
}

/// Counts the visits to a link that were blocked, over all time by default.
#[utoipa::path(
    get, path = "/links/{link}/blocked",
    params(AnalyticsParams),
    responses((status = 200, body = Counted<BlockedView>)),
)]
pub async fn blocked_by_link(
    Api { services, actor }: Api,
    name: PathRef,
    params: Params,
) -> Result<Json<Counted<BlockedView>>> {
    let request = AnalyticsRequest::take(params, &services, &actor)?.unlimited()?.unfiltered()?;
    let link = find(&services, &actor, &name)?;
    answer(&services, &request, &[Subject::Link(link.id)]).await
}

/// Counts the visits that were blocked, over all time by default.
#[utoipa::path(
    get, path = "/analytics/blocked",
    params(AnalyticsParams),
    responses((status = 200, body = Counted<BlockedView>)),
)]
pub async fn blocked(
    Api { services, actor }: Api,
    params: Params,
) -> Result<Json<Counted<BlockedView>>> {
    let request = AnalyticsRequest::take(params, &services, &actor)?.unlimited()?.unfiltered()?;
    answer(&services, &request, &[]).await
}

async fn answer(
    services: &Services,
    request: &AnalyticsRequest,
    of: &[Subject],
) -> Result<Json<Counted<BlockedView>>> {
    let period = request.period(&DateRange::All)?;
    let as_of = as_of(services, request.min_offset).await?;
    let query = request.query(of, &[Metric::Clicks], period);
    let blocked = services.analytics.blocked(&query, as_of).await?;
    Ok(Counted::new(blocked.into(), as_of))
}
