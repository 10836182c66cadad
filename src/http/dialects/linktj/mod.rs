//! The API of link.tj, at `/compat/linktj/api`.
//!
//! # Not supported
//! link.tj registers outbound webhooks in its dashboard, not by its API: there are none yet.
//! `task=weekly` sends no reports yet.
//!
//! # Quirks
//! What the documents leave open:
//! - Texts are trimmed, and empty ones are null, except for passwords. Unknown fields are ignored,
//!   as are `url` of other kinds and `payload` of kind `url`; but unknown fields of a payload are
//!   refused, so that nothing is lost. A body that is not a JSON object is refused with 400.
//! - `limit` and `offset` beyond their bounds get the nearest value, and others the default. Links
//!   are listed newest first, without archived ones.
//! - Ids are slugline's. A path accepts either the id or the slug.
//! - Links of other kinds than `url` have a `shortUrl` with `/l/`, and no `originalUrl`. Their
//!   `summary` is the name of the network or of the person, or the beginning of the text.
//! - `isActive` is false for links that are disabled, archived, not started or expired.
//! - The names in analytics are country codes, devices (`desktop`, `mobile`, `tablet`, `other`) and
//!   hosts as the visitors' browsers sent them; each is `Unknown` without one. Clicks are of all
//!   time, without bots, most first. Analytics need the abilities `links:read` and
//!   `analytics:read`; while they are unavailable, the link is answered 503, and `clicks` is null
//!   elsewhere.
//! - Deletion purges the link, and answers 200 with `{"data": {"id", "deleted": true}}`.
//! - `linkLimit` is the number of links per month, or else that of links at a time. It,
//!   `clickLimit` and `linksRemaining` are null on a plan without this limit; the plan's `name` is
//!   that of the catalogue (`Unlimited` without one). Credits are not included. `email` is null for
//!   tokens without a user.
//! - `error` is a sentence, and `code` a word: `invalid_request` (400), `unauthorized` (401),
//!   `forbidden` or `plan_required` (403), `not_found` (404), `method_not_allowed` (405),
//!   `slug_taken` or `conflict` (409), `payload_too_large` (413), `rate_limited` (429, with
//!   `retryAfter` in seconds), `internal_error` (500), `unavailable` (503). As documented, `error`
//!   is a word too if it is `limit_reached` (402) or `needs_2fa` (401). `recommend` is null if no
//!   plan of the catalogue allows more; so is `priceMonthly` of a plan that is not for sale.
//! - `/api/cron` answers with what ran: `{"data": {"renew": {"changes"}, "weekly": {"reports"}}}`,
//!   where `changes` counts the subscriptions that ended, the credits that were removed, and the
//!   auto-recharges that were due. Wrong
//!   secrets count as wrong tokens: an address has 30 per 15 minutes.

mod error;
mod request;
mod response;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::clicks::{Clicks, Of};
use super::fields::Fields;
use super::route::{Route, delete, get, post};
use super::{Dialect, links};
use crate::commands::accounts::SessionKind;
use crate::commands::{now_ms, secret};
use crate::domain::error::{Result, ServiceError};
use crate::domain::plan::rate::{RateClass, RateLimit, RateScope, RateWindow};
use crate::domain::plan::{Limit, Month};
use crate::domain::token::Ability::{AnalyticsRead, LinksCreate, LinksDelete, LinksRead, UserRead};
use crate::http::Services;
use crate::http::auth::{Access, Api, PublicRequest, check_origin, require_operator};
use crate::http::cors::allow_any_origin;
use crate::http::params::{Name, Params};
use crate::http::security::protect_token;
use crate::queries::analytics::{Dimension, MAX_ROWS};
use crate::queries::links::{LinkQuery, Part};
use crate::queries::plans::Used;
use request::{NAMES, Task};
use response::Breakdowns;

/// See the [module](self).
pub const DIALECT: Dialect = Dialect {
    name: "linktj",
    product: "link.tj",
    bases: &[""],
    routes,
    adapt: Some(allow_any_origin),
    render_error: error::render,
    rate: Some(RateLimit {
        scope: RateScope::Token,
        class: None,
        requests: 120,
        window: RateWindow::Minute,
    }),
};

fn routes() -> Vec<Route> {
    const LINK: &str = r#"{ "url": "https://example.com", "slug": "promo", "title": "Promo" }"#;
    const SIGN_IN: &str = r#"{ "email": "you@example.com", "password": "••••••••" }"#;
    const PAGE: &[(&str, &str)] = &[("limit", "20"), ("offset", "0")];
    const TASK: &[(&str, &str)] = &[("secret", "CRON_SECRET"), ("task", "renew")];
    let heavy = |route: Route| Route { class: RateClass::Heavy, ..route.query(TASK) };
    vec![
        post("App authentication", "/api/auth/token", Access::Public, token).body(SIGN_IN),
        get("Account, plan and usage", "/api/v1/me", UserRead, me).unmetered(),
        post("Create a link", "/api/v1/links", LinksCreate, create).body(LINK),
        get("List links", "/api/v1/links", LinksRead, list).query(PAGE),
        get("Link details and analytics", "/api/v1/links/{id_or_slug}", LinksRead, show),
        delete("Delete a link", "/api/v1/links/{id_or_slug}", LinksDelete, remove),
        heavy(get("Scheduled jobs", "/api/cron", Access::Public, cron)),
        heavy(post("Scheduled jobs", "/api/cron", Access::Public, cron)),
    ]
}

async fn token(
    State(services): State<Services>,
    parts: Parts,
    fields: Fields,
) -> Result<Json<Value>> {
    let credentials = request::credentials(fields)?;
    let from = PublicRequest::from_any_site(&parts, &services)?;
    let signed_in = from.sign_in(credentials, SessionKind::Jwt).await?;
    Ok(Json(response::token(signed_in)))
}

/// What the workspace has used of the plan's links and clicks, which may not be known.
fn usage(api: &Api, clicks: Option<u64>) -> Result<(Used, Used)> {
    let limits = [Limit::LinksPerMonth, Limit::Links, Limit::ClicksPerMonth];
    let used = api.services.plans.usage_of(api.actor.workspace, &limits, now_ms(), clicks)?;
    let used = <[Used; 3]>::try_from(used).map_err(|_| ServiceError::internal("three limits"))?;
    let [per_month, at_a_time, clicks] = used;
    let is_at_a_time = per_month.max.is_none() && at_a_time.max.is_some();
    Ok((if is_at_a_time { at_a_time } else { per_month }, clicks))
}

async fn me(api: Api) -> Result<Json<Value>> {
    let Api { services, actor } = &api;
    let user = actor.user.map(|(user, _)| services.accounts.profile_of(user));
    let email = user.transpose()?.flatten().and_then(|profile| profile.email);
    let plan = services.plans.of(actor.workspace)?;
    let month = Month::of(now_ms()).start();
    let clicks = services.analytics.clicks_since(actor.workspace, month).await;
    let data = response::me(email.as_deref(), &plan.definition.name, usage(&api, clicks)?);
    Ok(Json(json!({ "data": data })))
}

async fn create(api: Api, fields: Fields) -> Result<Response> {
    let shown = links::create(&api, request::link_input(fields)?, NAMES).await?;
    let data = response::created(&api.services.site, &shown);
    let (links, _) = usage(&api, None)?;
    let body = json!({ "data": data, "usage": response::usage(links) });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

async fn list(api: Api, params: Params) -> Result<Json<Value>> {
    let (limit, offset) = request::part(params);
    let query = LinkQuery { part: Part::Skip(offset), limit, ..LinkQuery::of(api.actor.workspace) };
    let (shown, total) = links::list(&api, query).await?;
    let data = shown.iter().map(|shown| response::listed(&api.services.site, shown));
    let data: Vec<_> = data.collect();
    Ok(Json(json!({ "total": total, "limit": limit, "offset": offset, "data": data })))
}

async fn show(api: Api, Name(name): Name) -> Result<Json<Value>> {
    let link = links::by_id_or_slug(&api, &name)?;
    api.require(AnalyticsRead)?;
    let clicks = Clicks { api: &api, of: Of::Link(link.id), period: None };
    let analytics = Breakdowns {
        countries: clicks.by(Dimension::Country, MAX_ROWS).await?,
        devices: clicks.by(Dimension::Device, MAX_ROWS).await?,
        referrers: clicks.by_referring_host().await?,
    };
    let shown = links::show(&api, link).await?;
    Ok(Json(json!({ "data": response::detailed(&api.services.site, &shown, analytics) })))
}

async fn remove(api: Api, Name(name): Name) -> Result<Json<Value>> {
    let link = links::by_id_or_slug(&api, &name)?;
    links::purge(&api, &link).await?;
    Ok(Json(json!({ "data": { "id": link.id.to_string(), "deleted": true } })))
}

async fn cron(
    State(services): State<Services>,
    mut parts: Parts,
    mut params: Params,
) -> Result<Json<Value>> {
    if let Some(given) = request::cron_secret(&mut params) {
        protect_token(&parts, &services)?;
        // Compares hashes, so the timing reveals nothing about the secret.
        if services.cron_secret != Some(secret::hash(&given)) {
            return Err(services.auth_failures.unknown(services.visitors.client(&parts)));
        }
    } else {
        // Pages of other sites can cause a request with the session of a superadmin.
        check_origin(&parts.headers, &services)?;
        require_operator(&mut parts, &services)?;
    }
    let mut ran = Map::new();
    for task in request::tasks(params)? {
        let (name, result) = match task {
            Task::Renew => ("renew", json!({ "changes": services.scheduled.renew().await? })),
            Task::Weekly => ("weekly", json!({ "reports": 0 })),
        };
        ran.insert(name.to_owned(), result);
    }
    Ok(Json(json!({ "data": ran })))
}
