//! The API of ShortLink, at `/compat/shortlink/api/v1`.
//!
//! # Quirks
//! The documents show few answers. What they leave open is decided as a server written with Express
//! would:
//! - A link is an object without an envelope, with the names of the request's fields, `id`,
//!   `short_url`, `has_password`, `clicks`, `created_at` and `updated_at`. Ids are slugline's
//!   `link_…`; a path also accepts the slug. The password is never shown.
//! - A list is `{data, total, page, limit}`, newest first. `limit` is 20 by default and 100 at most.
//! - Creation answers 201; everything else 200, which includes deletion: `{message}`.
//! - `PATCH` changes only the fields that are present: besides title and URL, also the other fields
//!   of a new link. Texts are trimmed, except for passwords; empty ones are null. Unknown fields
//!   are ignored.
//! - `expires_at` is a time or a date; without an offset it is in UTC, and a date starts at midnight.
//!   Times in answers are in UTC, with milliseconds.
//! - A QR code is an object with the names of the request's fields, `id`, `short_url`, `image_url`,
//!   `scans` and `created_at`. Its id is slugline's `qr_…`; `link_id` also accepts the slug. All QR
//!   codes of the workspace are listed, with the parameters of links. What a request does not set are
//!   the brand defaults of the workspace, if it has any; a QR code that scanners would not read is
//!   refused.
//! - `image_url` needs no token; it is a PNG of 300 pixels unless another API has changed that. The
//!   logo is fetched once: `logo_url` of an answer is the copy, which opens with the API key. It may
//!   also be a `data:` URL.
//! - `GET /analytics` has `total_clicks`, `unique_visitors` and `top_links`, over everything that the
//!   plan's retention leaves; `period` narrows it. For a link, `period` is `30d` by default; a longer
//!   one than the retention is cut, not refused. A period of days includes today.
//! - `countries`, `devices` and `referrers` are lists of values with `clicks`, most clicked first:
//!   codes of ISO 3166, words, and hosts. Unknown countries and devices are `Unknown`, and clicks
//!   without a referrer are `Direct`.
//! - `clicks` and `scans` are null while analytics are unavailable; analytics themselves then answer 503.
//! - A workspace without a plan counts as Business: 10,000 requests an hour for each token.
//! - Besides the documented statuses there are 405, 408, 413, 501 and 503.

mod error;
mod request;
mod response;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::clicks::{Clicks, Of, last};
use super::fields::Fields;
use super::route::{Route, delete, get, patch, post};
use super::{Dialect, links, qr_codes};
use crate::domain::error::Result;
use crate::domain::link::Field;
use crate::domain::plan::rate::{RateLimit, RateScope, RateWindow};
use crate::domain::qr::QrCodeInput;
use crate::domain::token::Ability::{
    AnalyticsRead, LinksCreate, LinksDelete, LinksRead, LinksUpdate, QrRead, QrWrite,
};
use crate::http::auth::Api;
use crate::http::params::{Name, Params};
use crate::queries::analytics::{Dimension, Granularity};
use crate::queries::links::{LinkQuery, Part};
use request::{NAMES, QR_NAMES, link_input, page, period, qr_input};

/// See the [module](self).
pub const DIALECT: Dialect = Dialect {
    name: "shortlink",
    product: "ShortLink",
    bases: &["/api/v1"],
    routes,
    adapt: None,
    render_error: error::render,
    rate: Some(RateLimit {
        scope: RateScope::Token,
        class: None,
        requests: 10_000,
        window: RateWindow::Hour,
    }),
};

/// The links in `top_links`.
const TOP: u32 = 10;
/// The values of a breakdown.
const VALUES: u32 = 100;

fn routes() -> Vec<Route> {
    const LINK: &str = r#"{
  "original_url": "https://example.com/long-page",
  "title": "My Landing Page",
  "utm_source": "newsletter"
}"#;
    const CHANGE: &str = r#"{
  "original_url": "https://example.com/another-page",
  "title": "My Landing Page"
}"#;
    const QR: &str = r##"{
  "link_id": "LINK_ID",
  "name": "Product QR",
  "fg_color": "#1a1a1a",
  "bg_color": "#ffffff",
  "dot_style": "dots"
}"##;
    vec![
        post("Create a short link", "/links", LinksCreate, create).body(LINK),
        get("List links", "/links", LinksRead, list).query(&[("page", "1"), ("limit", "20")]),
        get("Get a single link", "/links/{id}", LinksRead, show),
        patch("Update link title or URL", "/links/{id}", LinksUpdate, update).body(CHANGE),
        delete("Delete a link", "/links/{id}", LinksDelete, remove),
        post("Generate a QR code", "/qr", QrWrite, create_qr).body(QR),
        get("List all QR codes", "/qr", QrRead, list_qr).query(&[("page", "1"), ("limit", "20")]),
        get("Get a single QR code", "/qr/{id}", QrRead, show_qr),
        delete("Delete a QR code", "/qr/{id}", QrWrite, remove_qr),
        get("Workspace-level overview", "/analytics", AnalyticsRead, overview),
        get("Link analytics", "/analytics/links/{id}", AnalyticsRead, breakdown)
            .query(&[("period", "30d")]),
    ]
}

async fn create(api: Api, fields: Fields) -> Result<Response> {
    let shown = links::create(&api, link_input(fields)?, NAMES).await?;
    Ok((StatusCode::CREATED, Json(response::link(&shown))).into_response())
}

async fn list(api: Api, params: Params) -> Result<Json<Value>> {
    let (page, limit) = page(params)?;
    let query = LinkQuery { part: Part::Page(page), limit, ..LinkQuery::of(api.actor.workspace) };
    let (shown, total) = links::list(&api, query).await?;
    let data: Vec<_> = shown.iter().map(response::link).collect();
    Ok(Json(json!({ "data": data, "total": total, "page": page, "limit": limit })))
}

async fn show(api: Api, Name(id): Name) -> Result<Json<Value>> {
    let link = links::by_id_or_slug(&api, &id)?;
    Ok(Json(response::link(&links::show(&api, link).await?)))
}

async fn update(api: Api, Name(id): Name, fields: Fields) -> Result<Json<Value>> {
    let input = link_input(fields)?;
    let link = links::by_id_or_slug(&api, &id)?;
    Ok(Json(response::link(&links::change(&api, &link, input, NAMES).await?)))
}

async fn remove(api: Api, Name(id): Name) -> Result<Json<Value>> {
    links::delete(&api, &links::by_id_or_slug(&api, &id)?).await?;
    Ok(Json(json!({ "message": "Link deleted successfully" })))
}

async fn create_qr(api: Api, fields: Fields) -> Result<Response> {
    let (link, input) = qr_input(fields)?;
    let link = links::by_id_or_slug(&api, &link)?;
    let input = QrCodeInput { link: Field::Value(link.id.to_string()), ..input };
    let shown = qr_codes::create(&api, None, input, QR_NAMES).await?;
    Ok((StatusCode::CREATED, Json(response::qr_code(&api.services.site, &shown))).into_response())
}

async fn list_qr(api: Api, params: Params) -> Result<Json<Value>> {
    let (page, limit) = page(params)?;
    let part = (None, (page - 1).saturating_mul(limit), limit);
    let found = api.services.qr.codes.list(api.actor.workspace, part).await?;
    let shown = qr_codes::show_all(&api, found.items).await;
    let data: Vec<_> =
        shown.iter().map(|shown| response::qr_code(&api.services.site, shown)).collect();
    Ok(Json(json!({ "data": data, "total": found.total, "page": page, "limit": limit })))
}

async fn show_qr(api: Api, Name(id): Name) -> Result<Json<Value>> {
    let shown = qr_codes::show(&api, qr_codes::by_id(&api, &id)?).await?;
    Ok(Json(response::qr_code(&api.services.site, &shown)))
}

async fn remove_qr(api: Api, Name(id): Name) -> Result<Json<Value>> {
    qr_codes::delete(&api, qr_codes::by_id(&api, &id)?).await?;
    Ok(Json(json!({ "message": "QR code deleted successfully" })))
}

async fn overview(api: Api, params: Params) -> Result<Json<Value>> {
    let period = period(params)?.map(|(_, days)| last(Granularity::Day, days)).transpose()?;
    let clicks = Clicks { api: &api, of: Of::Workspace, period };
    let totals = clicks.totals().await?;
    Ok(Json(response::overview(totals, &clicks.top_links(TOP).await?)))
}

async fn breakdown(api: Api, Name(id): Name, params: Params) -> Result<Json<Value>> {
    let (name, days) = period(params)?.unwrap_or(request::DEFAULT_PERIOD);
    let link = links::by_id_or_slug(&api, &id)?;
    let period = Some(last(Granularity::Day, days)?);
    let clicks = Clicks { api: &api, of: Of::Link(link.id), period };
    let by = async |dimension| clicks.by(dimension, VALUES).await;
    Ok(Json(response::breakdown(
        link.id,
        name,
        clicks.totals().await?,
        by(Dimension::Country).await?,
        by(Dimension::Device).await?,
        by(Dimension::Referrer).await?,
    )))
}
