//! The API of Lynklens, at `/compat/lynklens/api/v1` and `/compat/lynklens/v1`: its documents write
//! both.
//!
//! # Quirks
//! What the documents leave open is decided as Laravel, by whose messages they were written, would:
//! - `message` is always present, also where a sample lacks it: `Success`, or for invalid input
//!   `An error occurred`. All answers have the envelope; what is deleted leaves an empty `data`.
//! - The documents do not show links. A request has `long_url`, and optionally `title` and `slug`;
//!   `PATCH` and `PUT` change only the fields that are present. A link is shown as `id`, `slug`,
//!   `short_url`, `long_url`, `title`, `clicks`, `created_at` and `updated_at`. Its numeric id is
//!   the offset of its creation in the log: ids grow, with gaps. `clicks` is null while analytics
//!   are unavailable.
//! - Lists have the parameters `page` and `per_page` (25, at most 100). Numbers out of bounds are
//!   taken for the nearest, and others for the default.
//! - A body that is not JSON has no fields. Texts are trimmed, and empty ones are null. Unknown
//!   fields are ignored.
//! - Analytics are about the last `units`, in UTC, including the current one: by default 7 days for
//!   the series, 1 month for others, as in the samples. `size` is 1 to 1000: the newest entries of
//!   the series, all by default, or the values of a breakdown, 50 by default. Minutes and hours
//!   are shown as times. An unknown referrer is `Direct`, another unknown value `Unknown`.
//! - A link has one QR code here: creating it again replaces it, with the same id and its scans, and
//!   answers 201 as well. Codes that other APIs made are not seen, except in `total_qr_codes`, which
//!   counts all of the workspace. An unknown `link_slug` is 404.
//! - `size` and `format` have the documented defaults; what else a request does not set, colors
//!   included, are the brand defaults of the workspace, if it has any. `PATCH` changes only the fields
//!   that are present; null brings a default back. A code that scanners would not read is refused.
//! - Lists of QR codes show each as `GET` of it does. `total_scans` is null while analytics are
//!   unavailable. Scans take the parameters of clicks, and have their form and defaults.
//! - `qr_image_url` needs no token, and changes with each new image. `/image` answers the file;
//!   `?format=png` and `?format=svg` choose another format, and `?format=base64` answers `base64`, the
//!   file in base 64, with `link_slug` and `mime_type`.
//! - 422 is also the status of conflicts: of a slug that is taken, and of the revocation of a
//!   workspace's last token with `*`. 429 is that of each limit of a plan on numbers, 403 that of a
//!   missing feature. 503 says that analytics are unavailable.
//! - Teams are workspaces. All requests are about the token's workspace, except that a user's token
//!   lists all teams of its user and reads their limits, as the documents say. A machine token has
//!   no user: it sees its own team, as `member`, and `/user` answers 403. `name` and `email` are
//!   empty until they are set.
//! - `PATCH /user` changes the name. Another email address is refused with 422, because a change
//!   takes the password and is confirmed by mail: `POST /api/v1/user/email`.
//! - Users list and revoke their own tokens of the workspace, machine tokens the machine tokens. The
//!   number before the `|` of a token is not its id, nor is it in the sample. Without `abilities` a
//!   token has those of its creator.
//! - The unlimited plan is shown as Enterprise, other plans by their names; without a subscription
//!   the status is `active`. `remaining` does not include credits. `GET /user/limits` is not counted
//!   as an API call, to be available when these are used up.

mod error;
mod qr_codes;
mod request;
mod response;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::clicks::{Clicks, Of};
use super::fields::Fields;
use super::route::{Route, delete, get, patch, post, put};
use super::{Dialect, links};
use crate::commands::accounts::Numbered;
use crate::commands::now_ms;
use crate::commands::secret::{self, SecretFormat};
use crate::domain::command::{Command, NewSecret, NewToken, Outcome};
use crate::domain::error::{Result, ServiceError};
use crate::domain::ids::WorkspaceId;
use crate::domain::link::Field;
use crate::domain::plan::Month;
use crate::domain::plan::rate::{RateLimit, RateScope, RateWindow};
use crate::domain::token::Ability::{
    AnalyticsRead, LinksCreate, LinksDelete, LinksRead, LinksUpdate, QrRead, QrWrite, UserRead,
    UserWrite,
};
use crate::domain::token::Token;
use crate::domain::workspace::Role;
use crate::domain::workspace::state::WorkspaceState;
use crate::http::auth::Api;
use crate::http::params::{Name, Params, whole_number};
use crate::queries::analytics::{Dimension, Granularity};
use crate::queries::links::{LinkQuery, Part};
use request::{NAMES, Span};
use response::success;

/// See the [module](self).
pub const DIALECT: Dialect = Dialect {
    name: "lynklens",
    product: "Lynklens",
    bases: &["/api/v1", "/v1"],
    routes,
    adapt: None,
    render_error: error::render,
    rate: Some(RATE),
};

/// The rate of Enterprise.
const RATE: RateLimit =
    RateLimit { scope: RateScope::Token, class: None, requests: 500, window: RateWindow::Minute };

fn routes() -> Vec<Route> {
    const LINK: &str = r#"{
  "long_url": "https://example.com/page",
  "title": "Example",
  "slug": "my-page"
}"#;
    const QR_CODE: &str = r##"{
  "link_slug": "my-page",
  "color": "#000000",
  "background_color": "#ffffff",
  "size": 300,
  "format": "png"
}"##;
    const QR_CHANGE: &str = r##"{
  "color": "#1a1a1a",
  "size": 500
}"##;
    const TOKEN: &str = r#"{
  "name": "My Integration",
  "abilities": ["links:read", "analytics:read"]
}"#;
    const PAGE: &[(&str, &str)] = &[("page", "1"), ("per_page", "25")];
    const SPAN: &[(&str, &str)] = &[("unit", "day"), ("units", "7"), ("size", "10")];
    let by = |dimension| {
        move |api: Api, slug: Name, params: Params| breakdown(api, slug, params, dimension)
    };
    let analytics =
        |name, path, dimension| get(name, path, AnalyticsRead, by(dimension)).query(SPAN);
    vec![
        post("Create Link", "/links", LinksCreate, create).body(LINK),
        get("List Links", "/links", LinksRead, list).query(PAGE),
        get("Get Link", "/links/{slug}", LinksRead, show),
        patch("Update Link", "/links/{slug}", LinksUpdate, update).body(LINK),
        put("Update Link (PUT)", "/links/{slug}", LinksUpdate, update).body(LINK),
        delete("Delete Link", "/links/{slug}", LinksDelete, remove),
        get("Get Clicks", "/links/{slug}/clicks", AnalyticsRead, clicks).query(SPAN),
        get("Get Clicks Summary", "/links/{slug}/clicks/summary", AnalyticsRead, summary)
            .query(SPAN),
        analytics("Get Countries", "/links/{slug}/countries", Dimension::Country),
        analytics("Get Devices", "/links/{slug}/devices", Dimension::Device),
        analytics("Get Cities", "/links/{slug}/cities", Dimension::City),
        analytics("Get Referrers", "/links/{slug}/referrers", Dimension::Referrer),
        analytics("Get Browsers", "/links/{slug}/browsers", Dimension::Browser),
        analytics("Get Operating Systems", "/links/{slug}/operating-systems", Dimension::Os),
        post("Create QR Code", "/qr-codes", QrWrite, qr_codes::create).body(QR_CODE),
        get("List QR Codes", "/qr-codes", QrRead, qr_codes::list).query(PAGE),
        get("Get QR Code", "/qr-codes/{slug}", QrRead, qr_codes::show),
        get("Get QR Code Image", "/qr-codes/{slug}/image", QrRead, qr_codes::image)
            .query(&[("format", "base64")]),
        patch("Update QR Code", "/qr-codes/{slug}", QrWrite, qr_codes::update).body(QR_CHANGE),
        delete("Delete QR Code", "/qr-codes/{slug}", QrWrite, qr_codes::remove),
        get("Get Scans", "/qr-codes/{slug}/scans", QrRead, qr_codes::scans).query(SPAN),
        get("Get Scans Summary", "/qr-codes/{slug}/scans/summary", QrRead, qr_codes::summary)
            .query(SPAN),
        get("Get User", "/user", UserRead, user),
        patch("Update User", "/user", UserWrite, update_user).body(r#"{ "name": "John Doe" }"#),
        get("List Tokens", "/user/tokens", UserRead, tokens),
        post("Create Token", "/user/tokens", UserWrite, create_token).body(TOKEN),
        delete("Revoke Token", "/user/tokens/{id}", UserWrite, revoke_token),
        get("Get Limits", "/user/limits", UserRead, limits).unmetered(),
        get("List Groups", "/groups", UserRead, groups),
    ]
}

async fn create(api: Api, fields: Fields) -> Result<Response> {
    let shown = links::create(&api, request::new_link(fields)?, NAMES).await?;
    Ok((StatusCode::CREATED, success(response::link(&shown))).into_response())
}

async fn list(api: Api, params: Params) -> Result<Json<Value>> {
    let (page, limit) = request::page(params);
    let query = LinkQuery { part: Part::Page(page), limit, ..LinkQuery::of(api.actor.workspace) };
    let (shown, total) = links::list(&api, query).await?;
    let shown = shown.iter().map(response::link).collect();
    Ok(response::page(shown, (page, limit), total))
}

async fn show(api: Api, Name(slug): Name) -> Result<Json<Value>> {
    let link = links::by_slug(&api, &slug)?;
    Ok(success(response::link(&links::show(&api, link).await?)))
}

async fn update(api: Api, Name(slug): Name, fields: Fields) -> Result<Json<Value>> {
    let link = links::by_slug(&api, &slug)?;
    let shown = links::change(&api, &link, request::changed_link(fields)?, NAMES).await?;
    Ok(success(response::link(&shown)))
}

async fn remove(api: Api, Name(slug): Name) -> Result<Json<Value>> {
    links::delete(&api, &links::by_slug(&api, &slug)?).await?;
    Ok(success(json!([])))
}

/// The clicks of a link in a span of time.
fn clicks_in<'a>(api: &'a Api, slug: &str, span: &Span) -> Result<Clicks<'a>> {
    let link = links::by_slug(api, slug)?;
    Ok(Clicks { api, of: Of::Link(link.id), period: Some(span.period) })
}

async fn clicks(api: Api, Name(slug): Name, params: Params) -> Result<Json<Value>> {
    let span = Span::of(params, (Granularity::Day, 7))?;
    let series = clicks_in(&api, &slug, &span)?.over_time(span.unit).await?;
    Ok(success(response::series("clicks", series, &span)))
}

async fn summary(api: Api, Name(slug): Name, params: Params) -> Result<Json<Value>> {
    let span = Span::of(params, (Granularity::Month, 1))?;
    let totals = clicks_in(&api, &slug, &span)?.totals().await?;
    Ok(success(response::summary("total_clicks", totals, &span)))
}

async fn breakdown(
    api: Api,
    Name(slug): Name,
    params: Params,
    dimension: Dimension,
) -> Result<Json<Value>> {
    let span = Span::of(params, (Granularity::Month, 1))?;
    let values = clicks_in(&api, &slug, &span)?.by(dimension, span.values()).await?;
    Ok(success(response::breakdown(dimension, &values)))
}

async fn user(api: Api) -> Result<Json<Value>> {
    let (Api { services, actor }, id) = (&api, api.user()?);
    let number = services.accounts.number_of(Numbered::User, id.uuid())?;
    let profile = services.accounts.profile(&services.accounts.user(id)?);
    let plan = services.plans.of(actor.workspace)?;
    let subscription = services.plans.subscription(actor.workspace)?;
    let used = services.plans.usage(actor.workspace, now_ms(), None)?;
    let codes = services.qr.codes.count(actor.workspace)?;
    Ok(success(response::user(number, profile, (&plan, subscription), (&used, codes))))
}

async fn update_user(api: Api, fields: Fields) -> Result<Json<Value>> {
    let (id, accounts) = (api.user()?, &api.services.accounts);
    let email = accounts.profile(&accounts.user(id)?).email;
    match request::name(fields, email.as_deref())? {
        Field::Absent => {}
        Field::Null => drop(accounts.rename(id, None).await?),
        Field::Value(name) => drop(accounts.rename(id, Some(name)).await?),
    }
    user(api).await
}

/// The tokens that a caller manages here, oldest first.
fn own_tokens(Api { services, actor }: &Api) -> Result<Vec<Token>> {
    let user = actor.user.map(|(user, _)| user);
    let tokens = services.links.tokens(actor.workspace)?;
    Ok(tokens.into_iter().filter(|token| token.user == user).collect())
}

fn number_of_token(api: &Api, token: &Token) -> Result<u64> {
    api.services.accounts.number_of(Numbered::Token, token.id.uuid())
}

async fn tokens(api: Api) -> Result<Json<Value>> {
    let last_used = &api.services.tokens.last_used;
    let shown = own_tokens(&api)?.into_iter().map(|token| {
        let number = number_of_token(&api, &token)?;
        Ok(response::token(number, &token, last_used.of(token.id.uuid())))
    });
    Ok(success(shown.collect::<Result<Vec<_>>>()?))
}

async fn create_token(api: Api, fields: Fields) -> Result<Response> {
    let (name, abilities) = request::token(fields)?;
    let secret = secret::generate(SecretFormat::Lynklens);
    let command = Command::CreateToken(Box::new(NewToken {
        name,
        abilities: abilities.unwrap_or(api.actor.abilities),
        expires_at_ms: None,
        networks: Vec::new(),
        is_machine: false,
        secret: NewSecret { sha256: secret::hash(&secret), prefix: secret::prefix(&secret) },
    }));
    let Outcome::Token(token) = api.services.commands.run(api.actor, command, None).await?.outcome
    else {
        return Err(ServiceError::internal("a token was expected"));
    };
    let id = number_of_token(&api, &token)?;
    let created = json!({ "token": secret, "id": id, "name": token.name });
    Ok((StatusCode::CREATED, success(created)).into_response())
}

async fn revoke_token(api: Api, Name(id): Name) -> Result<Json<Value>> {
    let unknown = || ServiceError::not_found("token");
    let number = whole_number(&id).ok_or_else(unknown)?;
    let id = api.services.accounts.numbered(Numbered::Token, number)?;
    let token = own_tokens(&api)?.into_iter().find(|token| Some(token.id.uuid()) == id);
    api.services.tokens.revoke(api.actor, token.ok_or_else(unknown)?.id).await?;
    Ok(success(json!([])))
}

/// The caller's teams, oldest first; a machine token has no role.
fn teams(
    Api { services, actor }: &Api,
) -> Result<Vec<(WorkspaceId, WorkspaceState, Option<Role>)>> {
    let Some((user, _)) = actor.user else {
        let own = services.accounts.workspace(actor.workspace)?;
        return Ok(own.map(|state| (actor.workspace, state, None)).into_iter().collect());
    };
    let teams = services.accounts.memberships(user)?.into_iter();
    let existing = teams.filter(|(_, state, _)| state.purged_at_ms.is_none());
    Ok(existing.map(|(id, state, role)| (id, state, Some(role))).collect())
}

async fn limits(api: Api, params: Params) -> Result<Json<Value>> {
    let Api { services, actor } = &api;
    let workspace = match request::team(params)? {
        None => actor.workspace,
        Some(number) => {
            let id = services.accounts.numbered(Numbered::Workspace, number)?;
            let team = teams(&api)?.into_iter().find(|(own, ..)| Some(own.uuid()) == id);
            team.ok_or_else(|| ServiceError::not_found("team"))?.0
        }
    };
    let (plan, now_ms) = (services.plans.of(workspace)?, now_ms());
    let used = services.plans.usage(workspace, now_ms, None)?;
    Ok(success(response::limits(&plan, RATE, &used, Month::of(now_ms))))
}

async fn groups(api: Api) -> Result<Json<Value>> {
    let shown = teams(&api)?.into_iter().map(|(id, state, role)| {
        let number = api.services.accounts.number_of(Numbered::Workspace, id.uuid())?;
        Ok(response::group(number, &state, state.is_personal(id), role))
    });
    Ok(success(shown.collect::<Result<Vec<_>>>()?))
}
