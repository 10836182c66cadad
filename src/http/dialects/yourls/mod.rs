//! The API of YOURLS 1.10, at `/compat/yourls/yourls-api.php`.
//!
//! # Not supported
//! - `username` with `password`, and signatures with a `timestamp`: `signature` is an API token.
//! - `db` of the action `version`, and actions of plugins.
//!
//! # Quirks
//! The contract is what YOURLS' own server answers, by its source. Differences:
//! - Each URL gets a new keyword, as with YOURLS' setting for duplicates: no answer is `error:url`.
//! - A keyword that is taken, reserved or malformed is `error:keyword` with the status 200, as
//!   before YOURLS 1.9: clients raise their own errors for it. `errorCode` is 400, as since 1.9.
//! - Without a title, the URL is shown as the title. `ip` is empty: slugline does not store it.
//!   Times are in UTC.
//! - A short URL may have any host: its last segment is the keyword.
//! - `shorturl` requires the ability `links:create`, `stats` and `db-stats` `analytics:read`, the
//!   other actions `links:read`.
//! - Errors have both `errorCode` and `statusCode`; internal ones are JSON in every format.
//!   Statistics answer 503 while analytics are unavailable.
//! - `filter=rand` draws from the 1,000 newest links, and no list is longer than that; `start` ends
//!   at 10,000.
//! - YOURLS documents no rate, so only those of the workspace's plan apply.

mod error;
mod request;
mod response;

use std::pin::Pin;

use axum::extract::Request;
use axum::http::header::RETRY_AFTER;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rand::seq::SliceRandom;
use serde_json::{Value, json};

use super::clicks::{Clicks, Of};
use super::route::{Route, get};
use super::{Dialect, links};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::link::Link;
use crate::domain::token::Ability::{AnalyticsRead, LinksCreate, LinksRead};
use crate::http::auth::Api;
use crate::http::params::Params;
use crate::limits::REQUEST_TIMEOUT;
use crate::queries::links::{self as index, LinkQuery, MAX_RANKED, Sort};
use request::{Values, keyword, link_input, number};

/// See the [module](self).
pub const DIALECT: Dialect = Dialect {
    name: "yourls",
    product: "YOURLS",
    bases: &[""],
    routes,
    adapt: Some(adapt),
    render_error: error::render,
    rate: None,
};

/// The maximum number of links in statistics.
const MAX_LINKS: usize = 1_000;
/// The version of YOURLS whose answers these are.
const VERSION: &str = "1.10.4";

/// An answer, in no format yet.
#[derive(Clone)]
struct Reply(Value);

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        response.extensions_mut().insert(self);
        response
    }
}

fn routes() -> Vec<Route> {
    vec![
        get("shorturl", "/yourls-api.php/shorturl", LinksCreate, shorten)
            .query(&[("action", "shorturl"), ("url", "https://example.com/page")]),
        get("expand", "/yourls-api.php/expand", LinksRead, expand)
            .query(&[("action", "expand"), ("shorturl", "keyword")]),
        get("url-stats", "/yourls-api.php/url-stats", LinksRead, link_stats)
            .query(&[("action", "url-stats"), ("shorturl", "keyword")]),
        get("stats", "/yourls-api.php/stats", AnalyticsRead, stats).query(&[
            ("action", "stats"),
            ("filter", "top"),
            ("limit", "10"),
        ]),
        get("db-stats", "/yourls-api.php/db-stats", AnalyticsRead, totals)
            .query(&[("action", "db-stats")]),
        get("version", "/yourls-api.php/version", LinksRead, version)
            .query(&[("action", "version")]),
    ]
}

/// Sends a request to the route of its action, and writes the answer in the requested format.
fn adapt(request: Request, next: Next) -> Pin<Box<dyn Future<Output = Response> + Send>> {
    Box::pin(async move {
        if !request.uri().path().starts_with(request::SCRIPT) {
            return next.run(request).await;
        }
        let (parts, body) = request.into_parts();
        let values = tokio::time::timeout(REQUEST_TIMEOUT, request::values(&parts, body)).await;
        let timeout = |_| Err(ServiceError::new(ErrorCode::Timeout, "The request took too long."));
        let values = values.unwrap_or_else(timeout);
        let output = values.clone().unwrap_or_default();
        let response = match values.and_then(|values| request::routed(parts, values)) {
            Ok(request) => next.run(request).await,
            Err(error) => error.into_response(),
        };
        written(response, &output)
    })
}

fn written(mut response: Response, output: &Values) -> Response {
    let format = output.get("format").map_or("xml", String::as_str);
    let callback = output.get("callback").or_else(|| output.get("jsonp")).map(String::as_str);
    if let Some(Reply(value)) = response.extensions_mut().remove() {
        return response::write(response, value, format, callback);
    }
    let error = response.extensions().get::<ServiceError>().cloned();
    // The outermost layer logs the cause of an internal error, and renders it.
    let Some(error) = error.filter(|error| error.cause.is_none()) else { return response };
    response.extensions_mut().remove::<ServiceError>();
    if let Some(seconds) = error.retry_after_seconds {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response::write(response, error::render(&error).1, format, callback)
}

async fn shorten(api: Api, params: Params) -> Result<Reply> {
    let input = link_input(params);
    match links::create(&api, input.clone(), &[]).await {
        Ok(shown) => Ok(Reply(response::created(&shown))),
        Err(error) => error::refused(error, &input).map(Reply),
    }
}

async fn expand(api: Api, params: Params) -> Result<Reply> {
    let keyword = keyword(params);
    let link = match links::by_slug(&api, &keyword) {
        Err(error) if error.code == ErrorCode::NotFound => {
            return Ok(Reply(error::unknown(&keyword)));
        }
        found => found?,
    };
    Ok(Reply(response::expanded(&links::show(&api, link).await?)))
}

async fn link_stats(api: Api, params: Params) -> Result<Reply> {
    let link = links::by_slug(&api, &keyword(params))?;
    let link = response::counted(&links::show(&api, link).await?);
    let link = link.ok_or_else(|| api.services.analytics.unavailable())?;
    Ok(Reply(response::stats(json!({ "link": link }))))
}

async fn stats(api: Api, mut params: Params) -> Result<Reply> {
    let (start, limit) = (number(&mut params, "start"), number(&mut params, "limit"));
    let limit = limit.min(MAX_LINKS);
    let mut stats = json!({ "stats": count(&api).await? });
    if limit > 0 {
        let shown = links::show_all(&api, selected(&api, params, start, limit).await?).await?;
        let links = response::numbered(&shown);
        stats["links"] = links.ok_or_else(|| api.services.analytics.unavailable())?;
    }
    Ok(Reply(response::stats(stats)))
}

async fn totals(api: Api) -> Result<Reply> {
    Ok(Reply(response::stats(json!({ "db-stats": count(&api).await? }))))
}

async fn version() -> Reply {
    Reply(json!({ "version": VERSION, "simple": VERSION }))
}

/// The links that `filter` selects.
async fn selected(api: &Api, mut params: Params, start: usize, limit: usize) -> Result<Vec<Link>> {
    let filter = params.text("filter").unwrap_or_default();
    let is_random = matches!(filter.as_str(), "rand" | "random");
    let limit_of_all = start.saturating_add(limit).min(MAX_RANKED);
    let workspace = api.actor.workspace;
    let mut query = LinkQuery {
        limit: if is_random { MAX_LINKS } else { limit_of_all },
        ..LinkQuery::of(workspace)
    };
    if !is_random && filter != "last" {
        let analytics = &api.services.analytics;
        let as_of = analytics.as_of(None, 0).await?;
        let by_link = analytics.clicks_by_link(workspace, as_of).await?;
        let clicks = Some(index::Clicks { by_link, as_of });
        query =
            LinkQuery { sort: Sort::Clicks, is_descending: filter != "bottom", clicks, ..query };
    }
    let mut found = api.services.links.search(query).await?.links;
    if is_random {
        found.shuffle(&mut rand::rng());
    }
    Ok(found.into_iter().skip(start).take(limit).collect())
}

/// The numbers of links and of clicks.
async fn count(api: &Api) -> Result<Value> {
    let query = LinkQuery { limit: 1, ..LinkQuery::of(api.actor.workspace) };
    let (_, links) = links::list(api, query).await?;
    let clicks = Clicks { api, of: Of::Workspace, period: None }.totals().await?.clicks;
    Ok(json!({ "total_links": links, "total_clicks": clicks }))
}
