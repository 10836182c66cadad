//! `/api/v1/billing`: the plans, and the usage and credits of the workspace.

mod providers;
pub mod recharge;
pub mod view;

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::Data;
use super::page::{Page, PageMeta, PageParams};
use super::route::Routes;
use crate::commands::now_ms;
use crate::domain::error::{Result, ServiceError};
use crate::domain::plan::limit::Month;
use crate::domain::token::Ability;
use crate::http::auth::{Access, Api};
use crate::http::params::Params;
pub use providers::ProviderSecrets;
use view::{CreditsView, InvoiceView, LedgerView, PlanView, SubscriptionView, UsageView};

pub fn routes() -> Routes {
    Routes::of("billing", "billing")
        .unmetered()
        .route(Ability::UserRead, routes!(plans))
        .route(Ability::UserRead, routes!(usage))
        .route(Ability::UserRead, routes!(credits))
        .route(Ability::UserRead, routes!(ledger))
        .route(Ability::UserRead, routes!(subscription))
        .route(Ability::UserRead, routes!(invoices))
        .route(Ability::UserRead, routes!(recharge::auto_recharge))
        .without_idempotency_keys()
        .route(Ability::BillingWrite, routes!(recharge::set_auto_recharge))
        .route(Access::Public, routes!(providers::receive_stripe))
        .route(Access::Public, routes!(providers::receive_generic))
        .then("billing", "user")
        .route(Ability::UserRead, routes!(limits))
}

/// Lists the plans of the product of the workspace's plan, smallest first.
#[utoipa::path(
    get, path = "/billing/plans",
    responses((status = 200, body = Data<Vec<PlanView>>)),
)]
async fn plans(Api { services, actor }: Api, params: Params) -> Result<Json<Data<Vec<PlanView>>>> {
    params.finish()?;
    let (catalogue, own) = (services.plans.catalogue(), services.plans.of(actor.workspace)?);
    let all = catalogue.plans().iter();
    let plans = all.filter(|plan| plan.product() == own.definition.product());
    Ok(Json(Data { data: plans.map(|plan| PlanView::of(plan, &plan.limits)).collect() }))
}

async fn usage_of(Api { services, actor }: Api, params: Params) -> Result<Json<Data<UsageView>>> {
    params.finish()?;
    let now_ms = now_ms();
    let month = Month::of(now_ms);
    let clicks = services.analytics.clicks_since(actor.workspace, month.start()).await;
    let used = services.plans.usage(actor.workspace, now_ms, clicks)?;
    let plan = services.plans.of(actor.workspace)?;
    Ok(Json(Data { data: UsageView::new(&plan, &used, month) }))
}

/// Retrieves the workspace's plan, and what it has used of each limit.
///
/// The months are those of UTC. All counts are exact: links and API calls are counted from the log,
/// an API call within a second; clicks are those that the analytics have counted so far.
#[utoipa::path(
    get, path = "/billing/usage",
    responses((status = 200, body = Data<UsageView>)),
)]
async fn usage(api: Api, params: Params) -> Result<Json<Data<UsageView>>> {
    usage_of(api, params).await
}

/// Retrieves the workspace's plan, and what it has used of each limit.
///
/// The same as `GET /billing/usage`.
#[utoipa::path(
    get, path = "/user/limits",
    responses((status = 200, body = Data<UsageView>)),
)]
async fn limits(api: Api, params: Params) -> Result<Json<Data<UsageView>>> {
    usage_of(api, params).await
}

/// Retrieves the workspace's credits.
///
/// A credit is used when the monthly allowance of the plan is used up.
#[utoipa::path(
    get, path = "/billing/credits",
    responses((status = 200, body = Data<Vec<CreditsView>>)),
)]
async fn credits(
    Api { services, actor }: Api,
    params: Params,
) -> Result<Json<Data<Vec<CreditsView>>>> {
    params.finish()?;
    let credits = services.plans.credits(actor.workspace, now_ms())?;
    Ok(Json(Data { data: credits.into_iter().map(CreditsView::from).collect() }))
}

/// A page of the ledger.
#[derive(Serialize, ToSchema)]
pub struct LedgerPage {
    data: Vec<LedgerView>,
    meta: PageMeta,
}

/// Lists the changes of the workspace's credits, newest first.
#[utoipa::path(
    get, path = "/billing/ledger", params(PageParams),
    responses((status = 200, body = LedgerPage)),
)]
async fn ledger(Api { services, actor }: Api, mut params: Params) -> Result<Json<LedgerPage>> {
    let page = Page::take(&mut params);
    params.finish()?;
    let (entries, total) = services.plans.ledger(actor.workspace, page.part())?;
    let data = entries.into_iter().map(LedgerView::from).collect();
    Ok(Json(LedgerPage { data, meta: page.meta(total) }))
}

/// Retrieves the workspace's subscription.
#[utoipa::path(
    get, path = "/billing/subscription",
    responses(
        (status = 200, body = Data<SubscriptionView>),
        (status = 404, description = "The workspace has no subscription."),
    ),
)]
async fn subscription(
    Api { services, actor }: Api,
    params: Params,
) -> Result<Json<Data<SubscriptionView>>> {
    params.finish()?;
    let found = services.plans.subscription(actor.workspace)?;
    let found = found.ok_or_else(|| ServiceError::not_found("subscription"))?;
    Ok(Json(Data { data: found.into() }))
}

/// A page of invoices.
#[derive(Serialize, ToSchema)]
pub struct InvoicePage {
    data: Vec<InvoiceView>,
    meta: PageMeta,
}

/// Lists the workspace's invoices, newest first.
#[utoipa::path(
    get, path = "/billing/invoices", params(PageParams),
    responses((status = 200, body = InvoicePage)),
)]
async fn invoices(Api { services, actor }: Api, mut params: Params) -> Result<Json<InvoicePage>> {
    let page = Page::take(&mut params);
    params.finish()?;
    let (invoices, total) = services.plans.invoices(actor.workspace, page.part())?;
    let data = invoices.into_iter().map(InvoiceView::try_from).collect::<Result<_>>()?;
    Ok(Json(InvoicePage { data, meta: page.meta(total) }))
}
