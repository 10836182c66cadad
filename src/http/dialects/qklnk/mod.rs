//! The API of qklnk, at `/compat/qklnk/api/v1`.
//!
//! # Not supported
//! `POST /events/record` answers 501; `conversions` and `revenue` are 0.
//!
//! # Quirks
//! What the documents leave open is decided as Laravel, by whose messages they were written, would:
//! - A body that is not JSON has no fields, so the required ones are missing: 422.
//! - Texts are trimmed, and empty ones are null. Unknown fields are ignored.
//! - `PUT` changes only the fields that are present.
//! - Creation answers 201, deletion 204 without a body. A page of links has 15.
//! - `GET /user` shows `id`, `name`, `email` and `created_at`.
//! - A token's permissions are slugline's abilities: `read` is `links:read`, `analytics:read` and
//!   `user:read`; `create`, `update` and `delete` are those of links.
//! - The numeric id of a link is the offset of its creation in the log: ids grow, with gaps.
//! - `clicks` and `unique_visitors` are null while analytics are unavailable.
//! - What exceeds the workspace's plan is refused with 403.

mod error;
mod request;
mod response;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::clicks::{Clicks, Of, last};
use super::fields::Fields;
use super::route::{self, Route, delete, get, post, put};
use super::{Dialect, links};
use crate::commands::accounts::Numbered;
use crate::domain::error::Result;
use crate::domain::plan::rate::{RateLimit, RateScope, RateWindow};
use crate::domain::token::Ability::{
    AnalyticsRead, EventsWrite, LinksCreate, LinksDelete, LinksRead, LinksUpdate, UserRead,
};
use crate::http::auth::Api;
use crate::http::params::{Name, Params};
use crate::queries::analytics::Granularity;
use crate::queries::links::{LinkQuery, Part};
use request::{NAMES, changed_link, days, new_link, page};
use response::{created, detailed, listed, updated};

/// See the [module](self).
pub const DIALECT: Dialect = Dialect {
    name: "qklnk",
    product: "qklnk",
    bases: &["/api/v1"],
    routes,
    adapt: None,
    render_error: error::render,
    rate: Some(RateLimit {
        scope: RateScope::Token,
        class: None,
        requests: 60,
        window: RateWindow::Minute,
    }),
};

/// The links of a page.
const PAGE: usize = 15;
/// The links in `top_links`.
const TOP: u32 = 10;

fn routes() -> Vec<Route> {
    const LINK: &str = r#"{
  "destination": "https://example.com/page",
  "utm_source": "api",
  "utm_medium": "email",
  "utm_campaign": "winter-sale",
  "utm_content": "body_button",
  "utm_term": "deal"
}"#;
    const EVENT: &str = r#"{
  "visitor_id": "v_abc123xyz",
  "event_name": "purchase",
  "revenue": 99.99,
  "name": "Premium Package",
  "metadata": { "product_id": "SKU-12345" }
}"#;
    vec![
        get("Get Current User", "/user", UserRead, user),
        post("Create Link", "/links", LinksCreate, create).body(LINK),
        get("List Links", "/links", LinksRead, list).query(&[("page", "1")]),
        get("Get Link", "/links/{slug}", LinksRead, show),
        put("Update Link", "/links/{slug}", LinksUpdate, update).body(LINK),
        delete("Delete Link", "/links/{slug}", LinksDelete, remove),
        get("Get Analytics", "/analytics", AnalyticsRead, analytics).query(&[("days", "7")]),
        post("Record Event", "/events/record", EventsWrite, route::not_implemented).body(EVENT),
    ]
}

/// The envelope of each answer.
fn data(data: impl Into<Value>) -> Json<Value> {
    Json(json!({ "data": data.into() }))
}

async fn user(api: Api) -> Result<Json<Value>> {
    let id = api.user()?;
    let number = api.services.accounts.number_of(Numbered::User, id.uuid())?;
    let profile = api.services.accounts.profile(&api.services.accounts.user(id)?);
    Ok(data(response::user(number, profile)))
}

async fn create(api: Api, fields: Fields) -> Result<Response> {
    let shown = links::create(&api, new_link(fields)?, NAMES).await?;
    Ok((StatusCode::CREATED, data(created(&shown))).into_response())
}

async fn list(api: Api, params: Params) -> Result<Json<Value>> {
    let page = page(params);
    let query =
        LinkQuery { part: Part::Page(page), limit: PAGE, ..LinkQuery::of(api.actor.workspace) };
    let (shown, total) = links::list(&api, query).await?;
    Ok(Json(listed(&shown, page, total)))
}

async fn show(api: Api, Name(slug): Name) -> Result<Json<Value>> {
    let link = links::by_slug(&api, &slug)?;
    Ok(data(detailed(&links::show(&api, link).await?)))
}

async fn update(api: Api, Name(slug): Name, fields: Fields) -> Result<Json<Value>> {
    let link = links::by_slug(&api, &slug)?;
    let shown = links::change(&api, &link, changed_link(fields)?, NAMES).await?;
    Ok(data(updated(&shown)))
}

async fn remove(api: Api, Name(slug): Name) -> Result<StatusCode> {
    links::delete(&api, &links::by_slug(&api, &slug)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn analytics(api: Api, params: Params) -> Result<Json<Value>> {
    let period = Some(last(Granularity::Day, days(params)?)?);
    let clicks = Clicks { api: &api, of: Of::Workspace, period };
    let totals = clicks.totals().await?;
    Ok(data(response::analytics(totals, &clicks.top_links(TOP).await?)))
}
