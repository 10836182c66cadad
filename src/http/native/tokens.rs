//! `/api/v1/tokens`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Changed, Data, iso8601, log_offset, replayed};
use crate::commands::secret;
use crate::domain::command::{Command, Outcome};
use crate::domain::token::{Abilities, Token};
use crate::http::Services;
use crate::http::auth::{Can, UserRead, UserWrite};
use crate::http::body::JsonBody;
use crate::http::params::Name;
use crate::http::problem::{Problem, ProblemBody};

/// What a token is asked to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenBody {
    /// What you call it, at most 100 characters.
    #[schema(example = "newsletter")]
    name: String,
    /// What it may do: no more than the token that asks.
    #[schema(example = json!(["links:read", "analytics:read"]))]
    abilities: Vec<String>,
}

/// A token.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenView {
    id: String,
    name: String,
    abilities: Vec<&'static str>,
    created_at: String,
    /// The secret; in the answer to its creation only, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl TokenView {
    fn new(token: Token, secret: Option<String>) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name,
            abilities: token.abilities.names(),
            created_at: iso8601(token.created_at_ms),
            token: secret,
        }
    }
}

/// Create a token. Its secret is in this answer and never again.
#[utoipa::path(
    post, path = "/tokens", tag = "tokens", request_body = TokenBody,
    responses(
        (status = 201, body = Changed<TokenView>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    State(services): State<Services>,
    actor: Can<UserWrite>,
    body: JsonBody<TokenBody>,
) -> Result<Response, Problem> {
    let TokenBody { name, abilities } = body.value;
    let abilities =
        Abilities::parse(&abilities).map_err(|reason| Problem::field("abilities", reason))?;
    let secret = secret::generate();
    let command = Command::CreateToken { name, abilities, secret_sha256: secret::hash(&secret) };
    let done = services.commands.run(*actor, command, body.idempotency).await?;
    let offset = done.offset;
    let Outcome::Token(token) = done.outcome else {
        return Err(Problem::internal("a token was expected"));
    };
    // A repeated request finds the token that the first one made; its secret is gone.
    let headers = (log_offset(offset), replayed(done.is_replay));
    let secret = (!done.is_replay).then_some(secret);
    let body = Changed::new(TokenView::new(*token, secret), offset);
    Ok((StatusCode::CREATED, headers, Json(body)).into_response())
}

/// List the workspace's tokens, without their secrets.
#[utoipa::path(get, path = "/tokens", tag = "tokens", responses((status = 200, body = Data<Vec<TokenView>>)))]
pub async fn list(
    State(services): State<Services>,
    actor: Can<UserRead>,
) -> Result<Json<Data<Vec<TokenView>>>, Problem> {
    let tokens = services.links.tokens(actor.workspace)?;
    Ok(Json(Data { data: tokens.into_iter().map(|token| TokenView::new(token, None)).collect() }))
}

/// Revoke a token.
#[utoipa::path(
    delete, path = "/tokens/{token}", tag = "tokens",
    params(("token" = String, Path, description = "The token's id")),
    responses((status = 204), (status = 404, body = ProblemBody, content_type = "application/problem+json"))
)]
pub async fn revoke(
    State(services): State<Services>,
    actor: Can<UserWrite>,
    Name(id): Name,
) -> Result<Response, Problem> {
    let id = id.parse().map_err(|_| Problem::not_found("token"))?;
    let done = services.commands.run(*actor, Command::RevokeToken(id), None).await?;
    Ok((StatusCode::NO_CONTENT, log_offset(done.offset)).into_response())
}
