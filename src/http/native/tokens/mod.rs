//! `/api/v1/tokens`

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::route::Routes;
use super::{Changed, Data, iso8601, log_offset, replayed};
use crate::commands::{CommandResult, Commands, secret};
use crate::domain::command::{Command, NewSecret, NewToken, Outcome};
use crate::domain::error::{Result, ServiceError};
use crate::domain::event::Idempotency;
use crate::domain::ids::{TokenId, WorkspaceId};
use crate::domain::token::{Abilities, Ability, Actor, Token};
use crate::http::auth::Api;
use crate::http::body::JsonBody;
use crate::http::last_used::LastUsed;
use crate::http::params::Name;
use crate::queries::links::Links;

/// A token to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenBody {
    /// The display name.
    #[schema(max_length = 100, example = "newsletter")]
    name: String,
    /// The abilities of the token: a subset of those of the calling token.
    #[schema(value_type = Vec<Ability>, min_items = 1, example = json!(["links:read", "analytics:read"]))]
    abilities: Vec<String>,
    /// When the token expires; never by default.
    #[schema(format = DateTime, example = "2030-01-31T23:00:00Z")]
    #[serde(default)]
    expires_at: Option<String>,
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
    #[schema(value_type = Vec<Ability>)]
    abilities: Vec<&'static str>,
    #[schema(format = DateTime)]
    created_at: String,
    /// When the token expires; null for never.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// When the token was last used, to within five minutes; null if unknown.
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    /// The secret, in the response to the creation only.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

pub fn routes() -> Routes {
    Routes::of("tokens", "tokens")
        .route(Ability::UserWrite, routes!(create))
        .route(Ability::UserRead, routes!(list))
        .route(Ability::UserWrite, routes!(revoke))
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
        let last_used = self.last_used.of(token.id).map(|at_ms| at_ms.max(token.created_at_ms));
        TokenView {
            id: token.id.to_string(),
            name: token.name,
            prefix: token.prefix,
            abilities: token.abilities.names(),
            created_at: iso8601(token.created_at_ms),
            expires_at: token.expires_at_ms.map(iso8601),
            last_used_at: last_used.map(iso8601),
            token: secret,
        }
    }

    /// A workspace's tokens, oldest first.
    pub fn list(&self, workspace: WorkspaceId) -> Result<Vec<TokenView>> {
        let tokens = self.links.tokens(workspace)?;
        Ok(tokens.into_iter().map(|token| self.view(token, None)).collect())
    }

    /// Creates a token for an actor, in the actor's workspace.
    pub async fn create(
        &self,
        actor: Actor,
        body: TokenBody,
        idempotency: Option<Idempotency>,
    ) -> Result<Changed<TokenView>> {
        let TokenBody { name, abilities, expires_at } = body;
        let abilities = Abilities::parse(&abilities)
            .map_err(|reason| ServiceError::field("abilities", reason))?;
        let expires_at_ms = expires_at.as_deref().map(timestamp).transpose()?;
        let secret = secret::generate();
        let command = Command::CreateToken(Box::new(NewToken {
            name,
            abilities,
            expires_at_ms,
            networks: Vec::new(),
            is_machine: false,
            secret: NewSecret { sha256: secret::hash(&secret), prefix: secret::prefix(&secret) },
        }));
        let CommandResult { outcome, offset, is_replay } =
            self.commands.run(actor, command, idempotency).await?;
        let Outcome::Token(token) = outcome else {
            return Err(ServiceError::internal("a token was expected"));
        };
        // A replay returns the token without its secret, which is not stored.
        Ok(Changed::new(self.view(*token, (!is_replay).then_some(secret)), offset))
    }

    /// Revokes a token for an actor. Returns the offset of the change.
    pub async fn revoke(&self, actor: Actor, id: TokenId) -> Result<u64> {
        let done = self.commands.run(actor, Command::RevokeToken(id), None).await?;
        self.last_used.forget(id);
        Ok(done.offset)
    }
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
        (status = 403, description = "The new token would have abilities that yours lacks."),
    ),
)]
pub async fn create(Api { services, actor }: Api, body: JsonBody<TokenBody>) -> Result<Response> {
    Ok(created(services.tokens.create(actor, body.value, body.idempotency).await?))
}

/// Lists the workspace's tokens, oldest first, without their secrets.
#[utoipa::path(get, path = "/tokens", responses((status = 200, body = Data<Vec<TokenView>>)))]
pub async fn list(Api { services, actor }: Api) -> Result<Json<Data<Vec<TokenView>>>> {
    Ok(Json(Data { data: services.tokens.list(actor.workspace)? }))
}

/// Revokes a token.
///
/// The last valid token with `*` cannot be revoked: create another one first.
#[utoipa::path(
    delete, path = "/tokens/{token}",
    responses(
        (status = 204, description = "Revoked."),
        (status = 403, description = "The token has abilities that yours lacks."),
        (status = 409, description = "The token is the last valid one with `*`."),
    ),
)]
pub async fn revoke(Api { services, actor }: Api, Name(id): Name) -> Result<Response> {
    let id = id.parse().map_err(|_| ServiceError::not_found("token"))?;
    let offset = services.tokens.revoke(actor, id).await?;
    Ok((StatusCode::NO_CONTENT, log_offset(offset)).into_response())
}
