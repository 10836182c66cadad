//! `/api/v1/billing/auto-recharge`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::view::kind_name;
use crate::commands::now_ms;
use crate::domain::command::Command;
use crate::domain::error::{Invalid, Result, ServiceError};
use crate::domain::ids::{RechargeId, WorkspaceId};
use crate::domain::plan::command::BillingCommand;
use crate::domain::plan::credit::CreditKind;
use crate::domain::plan::limit::Month;
use crate::domain::plan::recharge::{AutoRecharge, AutoRechargeState, Recharge};
use crate::http::auth::Api;
use crate::http::body::JsonBody;
use crate::http::native::{Changed, Data, iso8601, log_offset};
use crate::http::params::Params;

/// Requested credits.
#[derive(Serialize, ToSchema)]
pub struct RechargeView {
    #[schema(example = "recharge_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    id: String,
    #[schema(example = "ws_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    workspace: String,
    /// `links`, `qr_codes` or `events`.
    #[schema(example = "links")]
    kind: &'static str,
    /// The number of credits.
    #[schema(example = 100)]
    amount: u64,
    #[schema(format = DateTime)]
    requested_at: String,
}

impl RechargeView {
    pub fn new(workspace: WorkspaceId, recharge: &Recharge) -> Result<Self> {
        let id = RechargeId::from_bytes(&recharge.id).map_err(ServiceError::internal)?;
        Ok(Self {
            id: id.to_string(),
            workspace: workspace.to_string(),
            kind: kind_name(recharge.kind),
            amount: recharge.amount,
            requested_at: iso8601(recharge.at_ms),
        })
    }
}

/// The auto-recharge of a kind of credits.
#[derive(Serialize, ToSchema)]
pub struct AutoRechargeView {
    /// `links`, `qr_codes` or `events`.
    #[schema(example = "links")]
    kind: &'static str,
    /// Whether credits are requested; false again after three failures in a row.
    enabled: bool,
    /// Credits are requested when fewer than this are left; null if it was never set.
    #[schema(example = 20)]
    threshold: Option<u64>,
    /// The number of credits to request; null if it was never set.
    #[schema(example = 100)]
    amount: Option<u64>,
    /// The maximum number of credits to request in a calendar month (UTC); null if it was never set.
    #[schema(example = 500)]
    monthly_limit: Option<u64>,
    /// The number of credits requested in this month, without those of failed payments.
    #[schema(example = 100)]
    requested: u64,
    /// The number of failures in a row.
    failures: u32,
    /// The request that is not answered yet; null if there is none.
    open: Option<RechargeView>,
}

impl AutoRechargeView {
    fn new(workspace: WorkspaceId, kind: CreditKind, state: &AutoRechargeState) -> Result<Self> {
        let settings = state.settings;
        let open = state.open.as_ref().map(|open| RechargeView::new(workspace, open));
        Ok(Self {
            kind: kind.as_str(),
            enabled: settings.is_some_and(|settings| settings.enabled),
            threshold: settings.map(|settings| settings.threshold),
            amount: settings.map(|settings| settings.amount),
            monthly_limit: settings.map(|settings| settings.monthly_limit),
            requested: state.requested_in(Month::of(now_ms())),
            failures: state.failures,
            open: open.transpose()?,
        })
    }
}

/// The auto-recharge of a kind of credits.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AutoRechargeBody {
    /// `links`, `qr_codes` or `events`.
    #[schema(value_type = CreditKind, example = "links")]
    kind: String,
    /// Whether credits are requested. Enabling it forgets earlier failures.
    enabled: bool,
    /// Credits are requested when fewer than this are left.
    #[schema(minimum = 1, maximum = 1_000_000_000_u64, example = 20)]
    threshold: i64,
    /// The number of credits to request; at most `monthly_limit`.
    #[schema(minimum = 1, maximum = 1_000_000_000_u64, example = 100)]
    amount: i64,
    /// The maximum number of credits to request in a calendar month (UTC).
    #[schema(minimum = 1, maximum = 1_000_000_000_000_u64, example = 500)]
    monthly_limit: i64,
}

/// Retrieves the auto-recharge of each kind of the workspace's credits.
#[utoipa::path(
    get, path = "/billing/auto-recharge",
    responses((status = 200, body = Data<Vec<AutoRechargeView>>)),
)]
pub async fn auto_recharge(
    Api { services, actor }: Api,
    params: Params,
) -> Result<Json<Data<Vec<AutoRechargeView>>>> {
    params.finish()?;
    let all = services.plans.auto_recharges(actor.workspace)?;
    let view = |(kind, state)| AutoRechargeView::new(actor.workspace, kind, &state);
    Ok(Json(Data { data: all.into_iter().map(view).collect::<Result<_>>()? }))
}

/// Changes the auto-recharge of a kind of the workspace's credits.
///
/// When fewer credits than `threshold` are left, `amount` credits are requested, for which the
/// payment provider, or the operator, takes a payment. One request of a kind is open at a time.
#[utoipa::path(
    put, path = "/billing/auto-recharge", request_body = AutoRechargeBody,
    responses((status = 200, body = Changed<AutoRechargeView>)),
)]
pub async fn set_auto_recharge(
    Api { services, actor }: Api,
    body: JsonBody<AutoRechargeBody>,
) -> Result<Response> {
    let AutoRechargeBody { kind, enabled, threshold, amount, monthly_limit } = body.value;
    let mut invalid = Invalid::default();
    let kind = invalid.choice("kind", Some(&kind), CreditKind::EVERY, CreditKind::as_str);
    invalid.into_result()?;
    let kind = kind.ok_or_else(|| ServiceError::field("kind", "is required"))?;
    // 0 is refused, too.
    let [threshold, amount, monthly_limit] =
        [threshold, amount, monthly_limit].map(|number| u64::try_from(number).unwrap_or_default());
    let settings = AutoRecharge { kind: kind as u32, enabled, threshold, amount, monthly_limit };
    let command = Command::Billing(BillingCommand::ChangeAutoRecharge(settings));
    let done = services.commands.run(actor, command, None).await?;
    let all = services.plans.auto_recharges(actor.workspace)?;
    let changed = all.into_iter().find(|(other, _)| *other == kind);
    let state = changed.map(|(_, state)| state).unwrap_or_default();
    let view = AutoRechargeView::new(actor.workspace, kind, &state)?;
    Ok((log_offset(done.offset), Json(Changed::new(view, done.offset))).into_response())
}
