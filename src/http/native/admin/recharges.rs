//! `/api/v1/admin/recharges`: the open requests for credits of all workspaces, for the operator.

use axum::Json;
use axum::extract::State;

use crate::domain::error::Result;
use crate::http::Services;
use crate::http::native::billing::recharge::RechargeView;
use crate::http::native::page::{Page, PageOf, PageParams};
use crate::http::params::Params;

/// Lists the requests for credits that are not answered yet, oldest first.
///
/// A report with the ID of a request closes it: `credits.bought` or `recharge.failed`.
#[utoipa::path(
    get, path = "/admin/recharges", params(PageParams),
    responses((status = 200, body = PageOf<RechargeView>)),
)]
pub async fn list(
    State(services): State<Services>,
    mut params: Params,
) -> Result<Json<PageOf<RechargeView>>> {
    let page = Page::take(&mut params);
    params.finish()?;
    let open = services.plans.open_recharges()?;
    Ok(Json(page.of(open, |(workspace, recharge)| RechargeView::new(workspace, &recharge))?))
}
