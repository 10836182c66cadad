//! What the plan of the caller's workspace allows.

use std::slice;
use std::time::Instant;

use metrics::counter;

use super::caller::Caller;
use crate::commands::now_ms;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::plan::rate::{RateClass, RateLimit};
use crate::domain::plan::{Feature, Limit, Month, Plan};
use crate::http::Services;
use crate::http::rate_limit::{self, Usage};
use crate::metrics::REQUESTS_LIMITED;

/// Counts a request against the rate limits: those of the plan, else that of a dialect. `usage` is
/// what it used, also if it is refused.
///
/// # Errors
/// [`ErrorCode::RateLimited`].
pub fn limit_rate(
    services: &Services,
    (class, dialect): (RateClass, Option<(&'static str, RateLimit)>),
    caller: &Caller,
    usage: &mut Option<Usage>,
) -> Result<()> {
    let (actor, limits) = (&caller.actor, caller.plan.definition.rates.as_slice());
    let session = caller.session.map(|session| session.id.uuid());
    let caller = rate_limit::Caller {
        workspace: actor.workspace,
        user: actor.user.map(|(user, _)| user),
        credential: session.unwrap_or(actor.token.uuid()),
        dialect: "",
    };
    let applies = |limit: &RateLimit| limit.class.is_none_or(|only| only == class);
    let own = dialect.filter(|_| !limits.iter().any(applies));
    let (limits, caller) = match &own {
        Some((dialect, limit)) => (slice::from_ref(limit), caller.in_dialect(dialect)),
        None => (limits, caller),
    };
    *usage = services.rate_limiter.take(limits, class, &caller, Instant::now());
    match usage.as_ref().and_then(Usage::refusal) {
        Some(refusal) => {
            counter!(REQUESTS_LIMITED, "limit" => "plan").increment(1);
            Err(refusal)
        }
        None => Ok(()),
    }
}

/// Refuses a request that needs a feature which the plan lacks.
///
/// # Errors
/// [`ErrorCode::FeatureNotAvailable`].
pub fn require(plan: &Plan, features: impl IntoIterator<Item = Feature>) -> Result<()> {
    let lacking = features.into_iter().find(|feature| !plan.includes(*feature));
    lacking.map_or(Ok(()), |feature| {
        let name = feature.as_str();
        let message = format!("The workspace's plan does not include {name}: change the plan.");
        Err(ServiceError::new(ErrorCode::FeatureNotAvailable, message))
    })
}

/// Counts a call to the API, unless the workspace has made as many as its plan allows in a month.
///
/// # Errors
/// [`ErrorCode::PlanLimit`].
pub fn count_call(services: &Services, caller: &Caller) -> Result<()> {
    let (workspace, plan, now_ms) = (caller.actor.workspace, &caller.plan, now_ms());
    let limit = Limit::ApiCallsPerMonth;
    if !services.plans.counts_calls(plan) {
        return Ok(());
    }
    let max = plan.limits().get(limit);
    let used = || services.plans.api_calls(workspace, now_ms);
    if services.api_meter.count(workspace, Month::of(now_ms), max, used)? {
        return Ok(());
    }
    let reached = services.plans.catalogue().limit_reached(plan, limit, max.unwrap_or_default());
    Err(ServiceError::limit_reached(reached))
}
