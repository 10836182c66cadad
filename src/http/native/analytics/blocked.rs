//! Visits that gates stopped: of one link, and of all.

use axum::Json;
use axum::extract::State;
use utoipa::ToSchema;

use super::asked::{Asked, Asking};
use super::scope::Resolver;
use super::{Counted, as_of};
use crate::http::Services;
use crate::http::auth::{AnalyticsRead, Can};
use crate::http::native::links::find;
use crate::http::params::{Name, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::queries::analytics::{Blocked, DateRange, Metric};

/// Visits that gates stopped. None of them is a click.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct BlockedView {
    /// Without bots.
    visits: u64,
    /// Of bots.
    bot_visits: u64,
    /// By gate, the one that stopped most first.
    reasons: Vec<ReasonView>,
}

/// What one kind of gate stopped.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct ReasonView {
    /// disabled, archived, `not_started`, expired, `limit_reached`, `password_required`,
    /// `password_wrong` or `guessed_too_often`.
    reason: String,
    /// Without bots.
    visits: u64,
    /// Of bots.
    bot_visits: u64,
}

impl From<Vec<Blocked>> for BlockedView {
    fn from(blocked: Vec<Blocked>) -> Self {
        let view =
            |Blocked { reason, visits, bots }| ReasonView { reason, visits, bot_visits: bots };
        Self {
            visits: blocked.iter().map(|one| one.visits).sum(),
            bot_visits: blocked.iter().map(|one| one.bots).sum(),
            reasons: blocked.into_iter().map(view).collect(),
        }
    }
}

/// Visits of a link that a gate stopped: ever, unless a time is said.
#[utoipa::path(
    get, path = "/links/{link}/blocked", tag = "analytics",
    params(("link" = String, Path, description = "The link's id or slug"), Asking),
    responses((status = 200, body = Counted<BlockedView>), (status = 404, body = ProblemBody, content_type = "application/problem+json"), (status = 503, body = ProblemBody, content_type = "application/problem+json"))
)]
pub async fn of_link(
    State(services): State<Services>,
    actor: Can<AnalyticsRead>,
    Name(name): Name,
    params: Params,
) -> Result<Json<Counted<BlockedView>>, Problem> {
    let resolver = Resolver { services: &services, workspace: actor.workspace };
    let asked = Asked::take(params, &resolver)?.unfiltered()?;
    let link = find(&services, &actor, &name)?;
    answer(&services, &resolver, &asked, Some(link.id.uuid())).await
}

/// Visits that a gate stopped: ever, unless a time is said.
#[utoipa::path(
    get, path = "/analytics/blocked", tag = "analytics",
    params(Asking),
    responses((status = 200, body = Counted<BlockedView>), (status = 503, body = ProblemBody, content_type = "application/problem+json"))
)]
pub async fn of_all(
    State(services): State<Services>,
    actor: Can<AnalyticsRead>,
    params: Params,
) -> Result<Json<Counted<BlockedView>>, Problem> {
    let resolver = Resolver { services: &services, workspace: actor.workspace };
    let asked = Asked::take(params, &resolver)?.unfiltered()?;
    answer(&services, &resolver, &asked, None).await
}

async fn answer(
    services: &Services,
    resolver: &Resolver<'_>,
    asked: &Asked,
    link: Option<uuid::Uuid>,
) -> Result<Json<Counted<BlockedView>>, Problem> {
    let period = asked.period(&DateRange::All)?;
    let as_of = as_of(services, asked.min_offset).await?;
    let query = asked.question(resolver, link, &[Metric::Clicks], period);
    let blocked = services.analytics.blocked(&query, as_of).await?;
    Ok(Counted::new(blocked.into(), as_of))
}
