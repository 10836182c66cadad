//! `/api/v1/workspaces`: the caller's workspaces, their members and invitations.

mod invitations;
mod members;
mod transfer;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;
use uuid::Uuid;

use super::page::{Page, PageOf, PageParams};
use super::route::Routes;
use super::{Changed, Data, iso8601, log_offset};
use crate::commands::CommandResult;
use crate::domain::command::Outcome;
use crate::domain::error::{Result, ServiceError};
use crate::domain::ids::{UserId, WorkspaceId};
use crate::domain::token::{Ability, Actor};
use crate::domain::workspace::Role;
use crate::domain::workspace::command::WorkspaceCommand;
use crate::domain::workspace::state::WorkspaceState;
use crate::http::auth::{Access, Api, actor_in};
use crate::http::body::JsonBody;
use crate::http::params::{Name, Params};

pub fn routes() -> Routes {
    Routes::of("workspaces", "workspaces")
        .without_idempotency_keys()
        .route(Ability::UserRead, routes!(list))
        .route(Access::SignedIn, routes!(create))
        .route(Ability::UserRead, routes!(get))
        .route(Ability::WorkspaceWrite, routes!(update))
        .route(Access::SignedIn, routes!(delete))
        .route(Access::SignedIn, routes!(restore))
        .then("workspaces", "members")
        .route(Ability::UserRead, routes!(members::list))
        .route(Ability::MembersWrite, routes!(members::update))
        .route(Ability::UserWrite, routes!(members::delete))
        .then("workspaces", "transfer")
        .route(Access::SignedIn, routes!(transfer::offer))
        .route(Access::SignedIn, routes!(transfer::withdraw))
        .route(Access::SignedIn, routes!(transfer::accept))
        .then("workspaces", "invitations")
        .route(Ability::MembersWrite, routes!(invitations::create))
        .route(Ability::MembersWrite, routes!(invitations::list))
        .route(Ability::MembersWrite, routes!(invitations::resend))
        .route(Ability::MembersWrite, routes!(invitations::delete))
        .route(Access::Public, routes!(invitations::get))
        .route(Access::SignedIn, routes!(invitations::accept))
}

/// A workspace.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkspaceView {
    #[schema(example = "ws_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    id: String,
    #[schema(example = "Marketing")]
    name: String,
    /// Whether it is the personal workspace of a user.
    personal: bool,
    /// The caller's role: `owner`, `admin`, `member`, `viewer` or `billing`; null for machine
    /// tokens.
    #[schema(example = "admin")]
    role: Option<&'static str>,
    /// Whether the caller is the owner.
    is_owner: bool,
    /// The ID of the owner; null if only machine tokens use the workspace.
    owner: Option<String>,
    /// The number of members.
    members: u64,
    /// The ID of the member to whom the ownership is offered; null if it is not.
    offered_to: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    /// When the data of the deleted workspace is removed; null if it is not deleted.
    #[schema(format = DateTime)]
    purged_at: Option<String>,
}

fn user_of(bytes: &[u8]) -> Option<String> {
    Uuid::from_slice(bytes).ok().map(|id| UserId::new(id).to_string())
}

impl WorkspaceView {
    fn new(id: WorkspaceId, state: WorkspaceState, role: Option<Role>) -> Self {
        let offer = state.offer.as_ref();
        Self {
            id: id.to_string(),
            personal: state.is_personal(id),
            role: role.map(Role::as_str),
            is_owner: role == Some(Role::Owner),
            owner: user_of(&state.owner),
            members: state.members,
            offered_to: offer.and_then(|offer| user_of(&offer.user)),
            created_at: iso8601(state.created_at_ms),
            purged_at: state.purged_at_ms.map(iso8601),
            name: state.name,
        }
    }
}

/// The name of a workspace.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceBody {
    #[schema(min_length = 1, max_length = 100, example = "Marketing")]
    name: String,
}

impl Api {
    /// The caller as an actor in the workspace of a path.
    ///
    /// # Errors
    /// `NotFound` for all others: a token's is its own, a user's are those of the memberships.
    fn in_workspace(&self, id: &str) -> Result<Actor> {
        let no_workspace = || ServiceError::not_found("workspace");
        let id = id.parse().map_err(|_| no_workspace())?;
        if id == self.actor.workspace {
            return Ok(self.actor);
        }
        match self.actor.user {
            Some((user, _)) if self.actor.token.uuid().is_nil() => {
                actor_in(&self.services, user, id)
            }
            _ => Err(no_workspace()),
        }
    }

    /// The same in a workspace that may be deleted.
    fn in_deleted_workspace(&self, id: &str) -> Result<Actor> {
        let id: WorkspaceId = id.parse().map_err(|_| ServiceError::not_found("workspace"))?;
        let memberships = self.services.accounts.memberships(self.user()?)?;
        let found = memberships.into_iter().find(|(own, ..)| *own == id);
        let (_, _, role) = found.ok_or_else(|| ServiceError::not_found("workspace"))?;
        Ok(Actor::member(id, self.user()?, role))
    }

    /// Runs a command that changes the workspace; returns the response.
    async fn change_workspace(
        &self,
        actor: Actor,
        command: WorkspaceCommand,
    ) -> Result<Json<Changed<WorkspaceView>>> {
        let CommandResult { outcome, offset, .. } =
            self.services.accounts.run_in_workspace(actor, command).await?;
        let Outcome::Workspace(state) = outcome else {
            return Err(ServiceError::internal("a workspace was expected"));
        };
        let role = actor.user.map(|(_, role)| role);
        Ok(Json(Changed::new(WorkspaceView::new(actor.workspace, *state, role), offset)))
    }
}

/// Lists the caller's workspaces, oldest first.
///
/// Deleted ones are included until their data is removed. An API token sees its own workspace only.
#[utoipa::path(
    get, path = "/workspaces", params(PageParams),
    responses((status = 200, body = PageOf<WorkspaceView>)),
)]
async fn list(api: Api, mut params: Params) -> Result<Json<PageOf<WorkspaceView>>> {
    let page = Page::take(&mut params);
    params.finish()?;
    let Api { services, actor } = &api;
    let views = match actor.user {
        Some((user, _)) if actor.token.uuid().is_nil() => {
            let memberships = services.accounts.memberships(user)?.into_iter();
            memberships.map(|(id, state, role)| WorkspaceView::new(id, state, Some(role))).collect()
        }
        user => {
            let state = services.accounts.workspace(actor.workspace)?.into_iter();
            let role = user.map(|(_, role)| role);
            state.map(|state| WorkspaceView::new(actor.workspace, state, role)).collect()
        }
    };
    Ok(Json(page.of(views, Ok)?))
}

/// Creates a workspace.
///
/// The caller is its owner.
#[utoipa::path(
    post, path = "/workspaces", request_body = WorkspaceBody,
    responses((status = 201, body = Changed<WorkspaceView>)),
)]
async fn create(api: Api, body: JsonBody<WorkspaceBody>) -> Result<Response> {
    let (user, id) = (api.user()?, WorkspaceId::new(Uuid::now_v7()));
    let command = WorkspaceCommand::Create { name: body.value.name, owner: Some(user) };
    let created = api.change_workspace(Actor::member(id, user, Role::Owner), command).await?;
    Ok((StatusCode::CREATED, log_offset(created.0.meta.offset), created).into_response())
}

/// Retrieves a workspace.
#[utoipa::path(
    get, path = "/workspaces/{workspace}",
    responses((status = 200, body = Data<WorkspaceView>)),
)]
async fn get(api: Api, Name(id): Name) -> Result<Json<Data<WorkspaceView>>> {
    let actor = api.in_workspace(&id)?;
    let state = api.services.accounts.workspace(actor.workspace)?;
    let state = state.ok_or_else(|| ServiceError::not_found("workspace"))?;
    let role = actor.user.map(|(_, role)| role);
    Ok(Json(Data { data: WorkspaceView::new(actor.workspace, state, role) }))
}

/// Renames a workspace.
#[utoipa::path(
    patch, path = "/workspaces/{workspace}", request_body = WorkspaceBody,
    responses((status = 200, body = Changed<WorkspaceView>)),
)]
async fn update(
    api: Api,
    Name(id): Name,
    body: JsonBody<WorkspaceBody>,
) -> Result<Json<Changed<WorkspaceView>>> {
    let actor = api.in_workspace(&id)?;
    api.change_workspace(actor, WorkspaceCommand::Rename(body.value.name)).await
}

/// Deletes a workspace.
///
/// Only its owner can. The API is closed to it at once; its links redirect until its data is
/// removed 30 days later, with all clicks. Until then the owner can restore it.
#[utoipa::path(
    delete, path = "/workspaces/{workspace}",
    responses(
        (status = 200, body = Changed<WorkspaceView>),
        (status = 409, description = "It is a personal workspace, or deleted already."),
    ),
)]
async fn delete(api: Api, Name(id): Name) -> Result<Json<Changed<WorkspaceView>>> {
    let actor = api.in_workspace(&id)?;
    api.change_workspace(actor, WorkspaceCommand::Delete).await
}

/// Restores a deleted workspace.
///
/// Only its owner can.
#[utoipa::path(
    post, path = "/workspaces/{workspace}/restore",
    responses(
        (status = 200, body = Changed<WorkspaceView>),
        (status = 410, description = "Its data is being removed."),
    ),
)]
async fn restore(api: Api, Name(id): Name) -> Result<Json<Changed<WorkspaceView>>> {
    let actor = api.in_deleted_workspace(&id)?;
    api.change_workspace(actor, WorkspaceCommand::Restore).await
}
