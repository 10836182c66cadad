//! `/api/v1/tokens`

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::page::{Page, PageOf, PageParams};
use super::route::Routes;
use super::schema::TokenFormat;
use super::{Changed, iso8601, log_offset, replayed};
use crate::commands::secret::SecretFormat;
use crate::commands::{CommandResult, Commands, now_ms, secret};
use crate::domain::command::{Command, NewSecret, NewToken, Outcome, TokenChange};
use crate::domain::error::{Invalid, Result, ServiceError};
use crate::domain::event::Idempotency;
use crate::domain::ids::TokenId;
use crate::domain::link::Field;
use crate::domain::token::{Abilities, Ability, Actor, Token};
use crate::http::auth::Api;
use crate::http::body::{JsonBody, OptionalBody};
use crate::http::last_used::LastUsed;
use crate::http::params::{Name, Params};
use crate::queries::links::Links;

/// A token to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenBody {
    /// The display name.
    #[schema(max_length = 100, example = "newsletter")]
    name: String,
    /// The abilities of the token: a subset of the caller's.
    #[schema(value_type = Vec<Ability>, min_items = 1, example = json!(["links:read", "analytics:read"]))]
    abilities: Vec<String>,
    /// When the token expires; never by default.
    #[schema(format = DateTime, example = "2030-01-31T23:00:00Z")]
    #[serde(default)]
    expires_at: Option<String>,
    /// The networks from which the token is accepted; all if empty.
    #[schema(max_items = 50, example = json!(["203.0.113.0/24"]))]
    #[serde(default)]
    networks: Vec<String>,
    /// Whether it is a machine token of the workspace, which stays valid when its creator leaves;
    /// for owners and admins. Tokens that machine tokens create are machine tokens.
    #[serde(default)]
    machine: bool,
    /// The spelling of the secret, for clients of other products that check it: `slugline`
    /// (`slk_…`), `lynklens` (`123456|…`) or `linktj` (`lnktj_…`).
    #[schema(value_type = Option<TokenFormat>, default = "slugline", example = "slugline")]
    #[serde(default)]
    format: Option<String>,
}

/// A change of a token; absent fields stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenChangeBody {
    /// The display name.
    #[schema(max_length = 100, example = "newsletter")]
    #[serde(default)]
    name: Option<String>,
    /// The abilities: a subset of the caller's.
    #[schema(value_type = Option<Vec<Ability>>, min_items = 1)]
    #[serde(default)]
    abilities: Option<Vec<String>>,
    /// When the token expires; null for never.
    #[schema(value_type = Option<String>, format = DateTime, example = "2030-01-31T23:00:00Z")]
    #[serde(default)]
    expires_at: Field<String>,
    /// The networks from which the token is accepted; all if empty.
    #[schema(max_items = 50, example = json!(["203.0.113.0/24"]))]
    #[serde(default)]
    networks: Option<Vec<String>>,
    /// Whether requests with it are accepted.
    #[serde(default)]
    enabled: Option<bool>,
}

/// How to replace the secret of a token.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotationBody {
    /// For how long the previous secret is still accepted, in seconds.
    #[schema(maximum = 2_592_000, default = 0, example = 3600)]
    #[serde(default)]
    overlap_seconds: u64,
}

/// A token.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenView {
    #[schema(example = "tok_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    id: String,
    #[schema(example = "newsletter")]
    name: String,
    /// The beginning of the secret; null for tokens older than this field.
    #[schema(example = "slk_Ab12")]
    prefix: Option<String>,
    /// The ID of the member whose token it is; null for a machine token.
    user: Option<String>,
    #[schema(value_type = Vec<Ability>)]
    abilities: Vec<&'static str>,
    /// Whether requests with it are accepted.
    enabled: bool,
    /// The networks from which it is accepted; all if empty.
    networks: Vec<String>,
    #[schema(format = DateTime)]
    created_at: String,
    /// When the token expires; null for never.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// When the token was last used, to within five minutes; null if unknown.
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    /// Until when the secret before the last rotation is accepted; null if it is not.
    #[schema(format = DateTime)]
    previous_expires_at: Option<String>,
    /// The secret, in the response to the creation or rotation only.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

pub fn routes() -> Routes {
    Routes::of("tokens", "tokens")
        .route(Ability::UserWrite, routes!(create))
        .route(Ability::UserRead, routes!(list))
        .route(Ability::UserWrite, routes!(revoke))
        .without_idempotency_keys()
        .route(Ability::UserWrite, routes!(update))
        .route(Ability::UserWrite, routes!(rotate))
}

/// Lists, creates and revokes tokens. Cheap to clone.
#[derive(Clone)]
pub struct Tokens {
    commands: Commands,
    pub(super) links: Links,
    /// When tokens were last used.
    pub last_used: Arc<LastUsed>,
}

impl Tokens {
    /// Creates the service from its parts.
    pub const fn new(commands: Commands, links: Links, last_used: Arc<LastUsed>) -> Self {
        Self { commands, links, last_used }
    }

    fn view(&self, token: Token, secret: Option<String>) -> TokenView {
        // The time of use is rounded down, so it may be before the token's creation.
        let last_used =
            self.last_used.of(token.id.uuid()).map(|at_ms| at_ms.max(token.created_at_ms));
        let previous = token.previous.filter(|previous| previous.expires_at_ms > now_ms());
        TokenView {
            id: token.id.to_string(),
            name: token.name,
            prefix: token.prefix,
            user: token.user.map(|user| user.to_string()),
            abilities: token.abilities.names(),
            enabled: !token.is_disabled,
            networks: token.networks.iter().map(ToString::to_string).collect(),
            previous_expires_at: previous.map(|previous| iso8601(previous.expires_at_ms)),
            created_at: iso8601(token.created_at_ms),
            expires_at: token.expires_at_ms.map(iso8601),
            last_used_at: last_used.map(iso8601),
            token: secret,
        }
    }

    /// The tokens that an actor may see, oldest first.
    pub fn list(&self, actor: Actor) -> Result<Vec<TokenView>> {
        let tokens = self.links.tokens(actor.workspace)?.into_iter();
        let seen = tokens.filter(|token| actor.sees_token(token));
        Ok(seen.map(|token| self.view(token, None)).collect())
    }

    /// Creates a token for an actor, in the actor's workspace.
    pub async fn create(
        &self,
        actor: Actor,
        body: TokenBody,
        idempotency: Option<Idempotency>,
    ) -> Result<Changed<TokenView>> {
        let TokenBody { name, abilities, expires_at, networks, machine, format } = body;
        let mut invalid = Invalid::default();
        let format =
            invalid.choice("format", format.as_deref(), SecretFormat::EVERY, SecretFormat::as_str);
        invalid.into_result()?;
        let (secret, new_secret) = generate(format.unwrap_or_default());
        let command = Command::CreateToken(Box::new(NewToken {
            name,
            abilities: parse_abilities(&abilities)?,
            expires_at_ms: expires_at.as_deref().map(timestamp).transpose()?,
            networks: parse_networks(&networks)?,
            is_machine: machine,
            secret: new_secret,
        }));
        self.run(actor, command, idempotency, Some(secret)).await
    }

    /// Changes a token for an actor.
    pub async fn change(
        &self,
        actor: Actor,
        id: TokenId,
        body: TokenChangeBody,
    ) -> Result<Changed<TokenView>> {
        let TokenChangeBody { name, abilities, expires_at, networks, enabled } = body;
        let change = TokenChange {
            name,
            abilities: abilities.as_deref().map(parse_abilities).transpose()?,
            expires_at_ms: match expires_at {
                Field::Absent => None,
                Field::Null => Some(None),
                Field::Value(text) => Some(Some(timestamp(&text)?)),
            },
            networks: networks.as_deref().map(parse_networks).transpose()?,
            is_disabled: enabled.map(|is_enabled| !is_enabled),
        };
        self.run(actor, Command::ChangeToken(id, change), None, None).await
    }

    /// Replaces the secret of a token for an actor.
    pub async fn rotate(
        &self,
        actor: Actor,
        id: TokenId,
        body: RotationBody,
    ) -> Result<Changed<TokenView>> {
        let before = self.links.token(actor.workspace, id)?.and_then(|token| token.prefix);
        let format = before.as_deref().map_or(SecretFormat::Slugline, SecretFormat::of);
        let (secret, new_secret) = generate(format);
        let overlap_ms = body.overlap_seconds.saturating_mul(1_000);
        let command = Command::RotateToken { id, secret: new_secret, overlap_ms };
        self.run(actor, command, None, Some(secret)).await
    }

    async fn run(
        &self,
        actor: Actor,
        command: Command,
        idempotency: Option<Idempotency>,
        secret: Option<String>,
    ) -> Result<Changed<TokenView>> {
        let CommandResult { outcome, offset, is_replay } =
            self.commands.run(actor, command, idempotency).await?;
        let Outcome::Token(token) = outcome else {
            return Err(ServiceError::internal("a token was expected"));
        };
        // A replay returns the token without its secret, which is not stored.
        Ok(Changed::new(self.view(*token, secret.filter(|_| !is_replay)), offset))
    }

    /// Revokes a token for an actor. Returns the offset of the change.
    pub async fn revoke(&self, actor: Actor, id: TokenId) -> Result<u64> {
        let done = self.commands.run(actor, Command::RevokeToken(id), None).await?;
        self.last_used.forget(id.uuid());
        Ok(done.offset)
    }
}

/// A new secret, and what is stored of it.
fn generate(format: SecretFormat) -> (String, NewSecret) {
    let secret = secret::generate(format);
    let new = NewSecret { sha256: secret::hash(&secret), prefix: secret::prefix(&secret) };
    (secret, new)
}

fn parse_abilities(names: &[String]) -> Result<Abilities> {
    Abilities::parse(names).map_err(|reason| ServiceError::field("abilities", reason))
}

/// Parses networks; an address alone is a network of one.
fn parse_networks(texts: &[String]) -> Result<Vec<IpNet>> {
    let parse = |text: &String| {
        let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
        text.parse::<IpNet>().ok().map(|net| net.trunc()).or_else(address).ok_or_else(|| {
            let rule = format!("`{text}` is not a network such as 203.0.113.0/24");
            ServiceError::field("networks", rule)
        })
    };
    texts.iter().map(parse).collect()
}

/// Parses an ISO 8601 time to milliseconds since the Unix epoch.
fn timestamp(text: &str) -> Result<u64> {
    let at = text.parse::<Timestamp>().ok().and_then(|at| u64::try_from(at.as_millisecond()).ok());
    let rule = "must be a time such as 2030-01-31T23:00:00Z";
    at.ok_or_else(|| ServiceError::field("expires_at", rule))
}

/// The response to the creation of a token; a replay lacks the secret.
pub fn created(body: Changed<TokenView>) -> Response {
    let headers = (log_offset(body.meta.offset), replayed(body.data.token.is_none()));
    (StatusCode::CREATED, headers, Json(body)).into_response()
}

/// Creates a token.
///
/// The secret is returned once, in this response only.
#[utoipa::path(
    post, path = "/tokens", request_body = TokenBody,
    responses(
        (status = 201, body = Changed<TokenView>),
        (status = 403, description = "The new token would have abilities that you lack."),
    ),
)]
pub async fn create(Api { services, actor }: Api, body: JsonBody<TokenBody>) -> Result<Response> {
    Ok(created(services.tokens.create(actor, body.value, body.idempotency).await?))
}

/// Lists the workspace's tokens, oldest first, without their secrets.
///
/// Members who are neither owner nor admin see their own only.
#[utoipa::path(
    get, path = "/tokens", params(PageParams),
    responses((status = 200, body = PageOf<TokenView>)),
)]
pub async fn list(
    Api { services, actor }: Api,
    mut params: Params,
) -> Result<Json<PageOf<TokenView>>> {
    let page = Page::take(&mut params);
    params.finish()?;
    Ok(Json(page.of(services.tokens.list(actor)?, Ok)?))
}

/// Updates a token.
///
/// The last valid token with `*` can neither be disabled nor be given fewer abilities.
#[utoipa::path(
    patch, path = "/tokens/{token}", request_body = TokenChangeBody,
    responses(
        (status = 200, body = Changed<TokenView>),
        (status = 403, description = "The token has, or would have, abilities that you lack."),
        (status = 409, description = "The token is the last valid one with `*`."),
    ),
)]
pub async fn update(
    Api { services, actor }: Api,
    Name(id): Name,
    body: JsonBody<TokenChangeBody>,
) -> Result<Json<Changed<TokenView>>> {
    let id = id.parse().map_err(|_| ServiceError::not_found("token"))?;
    Ok(Json(services.tokens.change(actor, id, body.value).await?))
}

/// Replaces the secret of a token.
///
/// The new one is returned once, in this response only. The previous one stays valid for
/// `overlap_seconds`, at most 30 days.
#[utoipa::path(
    post, path = "/tokens/{token}/rotate", request_body = RotationBody,
    responses(
        (status = 200, body = Changed<TokenView>),
        (status = 403, description = "The token has abilities that you lack."),
    ),
)]
pub async fn rotate(
    Api { services, actor }: Api,
    Name(id): Name,
    body: OptionalBody<RotationBody>,
) -> Result<Json<Changed<TokenView>>> {
    let id = id.parse().map_err(|_| ServiceError::not_found("token"))?;
    Ok(Json(services.tokens.rotate(actor, id, body.value).await?))
}

/// Revokes a token.
///
/// The last valid token with `*` cannot be revoked: create another one first.
#[utoipa::path(
    delete, path = "/tokens/{token}",
    responses(
        (status = 204, description = "Revoked."),
        (status = 403, description = "The token has abilities that you lack."),
        (status = 409, description = "The token is the last valid one with `*`."),
    ),
)]
pub async fn revoke(Api { services, actor }: Api, Name(id): Name) -> Result<Response> {
    let id = id.parse().map_err(|_| ServiceError::not_found("token"))?;
    let offset = services.tokens.revoke(actor, id).await?;
    Ok((StatusCode::NO_CONTENT, log_offset(offset)).into_response())
}
