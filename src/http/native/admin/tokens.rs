//! `/api/v1/admin/tokens`: tokens of any workspace, for the operator, who can thus give an owner
//! without a token a new one.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::Idempotency;
use crate::domain::ids::{TokenId, UserId, WorkspaceId};
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::ActingSuperadmin;
use crate::http::body::JsonBody;
use crate::http::native::page::{Page, PageOf, PageParams};
use crate::http::native::tokens::{TokenBody, TokenView, Tokens, created};
use crate::http::native::{Changed, log_offset};
use crate::http::params::{Name, Params};

impl Tokens {
    /// The workspace in the request, or else the only one.
    fn workspace(&self, named: Option<WorkspaceId>) -> Result<WorkspaceId> {
        let workspaces = self.links.workspaces()?;
        match (named, workspaces.as_slice()) {
            (_, []) => {
                let detail = "There is no workspace yet: start the service once.";
                Err(ServiceError::new(ErrorCode::Conflict, detail))
            }
            (None, [(only, _)]) => Ok(*only),
            (Some(named), _) if workspaces.iter().any(|(id, _)| *id == named) => Ok(named),
            _ => {
                let known = workspaces.iter().map(|(id, name)| format!("{id} ({name})"));
                let known = known.collect::<Vec<_>>().join(", ");
                Err(ServiceError::field("workspace", format!("must be one of {known}")))
            }
        }
    }

    /// Creates a token with any abilities. `by` is the superadmin; `None` for the operator.
    pub async fn create_in(
        &self,
        workspace: Option<WorkspaceId>,
        by: Option<UserId>,
        body: TokenBody,
        idempotency: Option<Idempotency>,
    ) -> Result<Changed<TokenView>> {
        let actor = Actor::operator_as(self.workspace(workspace)?, by);
        self.create(actor, body, idempotency).await
    }

    /// A workspace's tokens, oldest first.
    pub fn list_in(&self, workspace: Option<WorkspaceId>) -> Result<Vec<TokenView>> {
        self.list(Actor::operator(self.workspace(workspace)?))
    }

    /// Revokes a token of any workspace. Returns the offset of the change.
    pub async fn revoke_anywhere(&self, id: TokenId, by: Option<UserId>) -> Result<u64> {
        let workspace = self.links.workspace_of(id)?;
        let workspace = workspace.ok_or_else(|| ServiceError::not_found("token"))?;
        self.revoke(Actor::operator_as(workspace, by), id).await
    }
}

/// Parses the workspace parameter, the last one.
fn named(mut params: Params) -> Result<Option<WorkspaceId>> {
    let text = params.text("workspace");
    let id = text.as_deref().map(str::parse).transpose();
    if id.is_err() {
        params.refuse("workspace", "must be an id such as ws_…");
    }
    params.finish()?;
    Ok(id.ok().flatten())
}

/// Creates a token in any workspace, with any abilities.
#[utoipa::path(
    post, path = "/admin/tokens", request_body = TokenBody,
    params(
        ("workspace" = Option<String>, Query, description = "The workspace's ID; by default the only one that is not personal."),
    ),
    responses(
        (status = 201, body = Changed<TokenView>),
        (status = 409, description = "There is no workspace yet."),
    ),
)]
pub async fn create(
    State(services): State<Services>,
    ActingSuperadmin(by): ActingSuperadmin,
    params: Params,
    body: JsonBody<TokenBody>,
) -> Result<Response> {
    let JsonBody { value, idempotency } = body;
    Ok(created(services.tokens.create_in(named(params)?, by, value, idempotency).await?))
}

/// Lists a workspace's tokens, oldest first, without their secrets.
#[utoipa::path(
    get, path = "/admin/tokens",
    params(
        ("workspace" = Option<String>, Query, description = "The workspace's ID; by default the only one that is not personal."),
        PageParams,
    ),
    responses(
        (status = 200, body = PageOf<TokenView>),
        (status = 409, description = "There is no workspace yet."),
    ),
)]
pub async fn list(
    State(services): State<Services>,
    mut params: Params,
) -> Result<Json<PageOf<TokenView>>> {
    let page = Page::take(&mut params);
    Ok(Json(page.of(services.tokens.list_in(named(params)?)?, Ok)?))
}

/// Revokes a token of any workspace.
///
/// The last valid token of a workspace with `*` cannot be revoked.
#[utoipa::path(
    delete, path = "/admin/tokens/{token}",
    responses((status = 204, description = "Revoked."), (status = 409, description = "The token is the last valid one with `*`.")),
)]
pub async fn revoke(
    State(services): State<Services>,
    ActingSuperadmin(by): ActingSuperadmin,
    Name(id): Name,
) -> Result<Response> {
    let id = id.parse().map_err(|_| ServiceError::not_found("token"))?;
    let offset = services.tokens.revoke_anywhere(id, by).await?;
    Ok((StatusCode::NO_CONTENT, log_offset(offset)).into_response())
}
