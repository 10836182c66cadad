//! `/api/v1/admin/workspaces`: all workspaces, for the operator and superadmins: their plans and
//! credits.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::command::{Command, Outcome};
use crate::domain::error::{Invalid, Result, ServiceError};
use crate::domain::ids::{UserId, WorkspaceId};
use crate::domain::plan::command::BillingCommand;
use crate::domain::plan::credit::CreditKind;
use crate::domain::plan::state::{AssignedPlan, CreditGrant, LimitOverride};
use crate::domain::token::Actor;
use crate::domain::workspace::state::WorkspaceState;
use crate::http::Services;
use crate::http::auth::ActingSuperadmin;
use crate::http::body::JsonBody;
use crate::http::native::billing::view::GrantView;
use crate::http::native::page::{Page, PageMeta, PageParams};
use crate::http::native::{Changed, iso8601, log_offset, replayed};
use crate::http::params::{Name, Params};

/// A workspace, for the operator.
#[derive(Serialize, ToSchema)]
pub struct AdminWorkspaceView {
    #[schema(example = "ws_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    id: String,
    #[schema(example = "Marketing")]
    name: String,
    /// Whether it is the personal workspace of a user.
    personal: bool,
    /// The number of members.
    members: u64,
    /// The ID of the plan in the catalogue.
    #[schema(example = "acme/free")]
    plan: String,
    /// The limits that differ from the plan's; null for no limit.
    #[schema(example = json!({"links_per_month": 500}))]
    overrides: BTreeMap<String, Option<u64>>,
    #[schema(format = DateTime)]
    created_at: String,
    /// When the data of the deleted workspace is removed; null if it is not deleted.
    #[schema(format = DateTime)]
    purged_at: Option<String>,
}

impl AdminWorkspaceView {
    fn new(services: &Services, id: WorkspaceId, state: WorkspaceState) -> Self {
        let plan = services.plans.catalogue().plan_of(state.plan.as_ref());
        let personal = state.is_personal(id);
        let overrides = state.plan.into_iter().flat_map(|plan| plan.overrides);
        Self {
            id: id.to_string(),
            personal,
            members: state.members,
            plan: plan.definition.id.clone(),
            overrides: overrides.map(|changed| (changed.limit, changed.value)).collect(),
            created_at: iso8601(state.created_at_ms),
            purged_at: state.purged_at_ms.map(iso8601),
            name: state.name,
        }
    }
}

/// A page of all workspaces.
#[derive(Serialize, ToSchema)]
pub struct AdminWorkspacePage {
    data: Vec<AdminWorkspaceView>,
    meta: PageMeta,
}

/// The plan of a workspace.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignedPlanBody {
    /// The ID in the catalogue; null for the default plan.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required = true, example = "acme/core")]
    plan: Option<String>,
    /// Limits that differ from the plan's; null for no limit.
    #[serde(default)]
    #[schema(example = json!({"links_per_month": 500}))]
    overrides: BTreeMap<String, Option<u64>>,
}

/// Credits to grant.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreditsBody {
    /// `links`, `qr_codes` or `events`.
    #[schema(value_type = CreditKind, example = "links")]
    kind: String,
    /// The number of credits.
    #[schema(minimum = 1, maximum = 1_000_000_000_u64, example = 50)]
    amount: i64,
    /// When unused credits expire; null for never.
    #[serde(default)]
    #[schema(format = DateTime, example = "2030-01-31T23:00:00Z")]
    expires_at: Option<String>,
    /// Why, for people.
    #[serde(default)]
    #[schema(max_length = 200, example = "Compensation")]
    note: Option<String>,
}

/// The operator, or a superadmin, acting in a workspace.
fn acting(id: &str, by: Option<UserId>) -> Result<Actor> {
    let id = id.parse().map_err(|_| ServiceError::not_found("workspace"))?;
    Ok(Actor::operator_as(id, by))
}

/// Lists all workspaces, oldest first.
#[utoipa::path(
    get, path = "/admin/workspaces", params(PageParams),
    responses((status = 200, body = AdminWorkspacePage)),
)]
pub async fn list(
    State(services): State<Services>,
    mut params: Params,
) -> Result<Json<AdminWorkspacePage>> {
    let page = Page::take(&mut params);
    params.finish()?;
    let all = services.accounts.workspaces()?;
    let meta = page.meta(all.len() as u64);
    let part = all.into_iter().skip(page.skipped()).take(page.size());
    let data = part.map(|(id, state)| AdminWorkspaceView::new(&services, id, state)).collect();
    Ok(Json(AdminWorkspacePage { data, meta }))
}

/// Sets the plan of a workspace.
///
/// It applies to the next request. What the workspace has beyond a smaller plan stays, but it cannot
/// add to it.
#[utoipa::path(
    put, path = "/admin/workspaces/{workspace}/plan", request_body = AssignedPlanBody,
    responses((status = 200, body = Changed<AdminWorkspaceView>)),
)]
pub async fn set_plan(
    State(services): State<Services>,
    ActingSuperadmin(by): ActingSuperadmin,
    Name(id): Name,
    body: JsonBody<AssignedPlanBody>,
) -> Result<Response> {
    let (actor, AssignedPlanBody { plan, overrides }) = (acting(&id, by)?, body.value);
    if plan.is_none() && !overrides.is_empty() {
        return Err(ServiceError::field("overrides", "requires `plan` to be set"));
    }
    let overrides = overrides.into_iter().map(|(limit, value)| LimitOverride { limit, value });
    let plan = plan.map(|id| AssignedPlan { id, overrides: overrides.collect() });
    let command = Command::Billing(BillingCommand::ChangePlan(plan));
    let done = services.commands.run(actor, command, None).await?;
    let Outcome::Workspace(state) = done.outcome else {
        return Err(ServiceError::internal("a workspace was expected"));
    };
    let view = AdminWorkspaceView::new(&services, actor.workspace, *state);
    Ok((log_offset(done.offset), Json(Changed::new(view, done.offset))).into_response())
}

/// Grants credits to a workspace.
#[utoipa::path(
    post, path = "/admin/workspaces/{workspace}/credits", request_body = CreditsBody,
    responses(
        (status = 201, body = Changed<GrantView>),
        (status = 409, description = "The workspace has too many grants with credits left."),
    ),
)]
pub async fn grant_credits(
    State(services): State<Services>,
    ActingSuperadmin(by): ActingSuperadmin,
    Name(id): Name,
    body: JsonBody<CreditsBody>,
) -> Result<Response> {
    let actor = acting(&id, by)?;
    let JsonBody { value: CreditsBody { kind, amount, expires_at, note }, idempotency } = body;
    let mut invalid = Invalid::default();
    let kind = invalid.choice("kind", Some(&kind), CreditKind::EVERY, CreditKind::as_str);
    let amount =
        invalid.check("amount", u64::try_from(amount).map_err(|_| "must be at least 1".to_owned()));
    let expires_at_ms = expires_at.and_then(|text| {
        let at = text.parse::<jiff::Timestamp>().map_err(|_| "must be a time".to_owned());
        let at = invalid.check("expires_at", at)?;
        Some(u64::try_from(at.as_millisecond()).unwrap_or_default())
    });
    invalid.into_result()?;
    let grant = CreditGrant {
        kind: kind.map_or(0, |kind| kind as u32),
        amount: amount.unwrap_or_default(),
        expires_at_ms,
        note: note.unwrap_or_default(),
        ..CreditGrant::default()
    };
    let command = Command::Billing(BillingCommand::GrantCredits(grant.into()));
    let done = services.commands.run(actor, command, idempotency).await?;
    let Outcome::Granted(grant) = done.outcome else {
        return Err(ServiceError::internal("a grant was expected"));
    };
    let body = Json(Changed::new(GrantView::from(*grant), done.offset));
    let headers = (replayed(done.is_replay), log_offset(done.offset));
    Ok((StatusCode::CREATED, headers.0, headers.1, body).into_response())
}
