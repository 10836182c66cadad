//! `/api/v1/workspaces/{workspace}/members`

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::commands::accounts::Profile;
use crate::domain::command::Outcome;
use crate::domain::error::{Invalid, Result, ServiceError};
use crate::domain::event::MemberState;
use crate::domain::ids::UserId;
use crate::domain::workspace::Role;
use crate::domain::workspace::command::WorkspaceCommand;
use crate::http::auth::Api;
use crate::http::body::JsonBody;
use crate::http::native::page::{Page, PageOf, PageParams};
use crate::http::native::schema::AssignableRole;
use crate::http::native::{Changed, iso8601, log_offset};
use crate::http::params::{Name, Params};

/// A member of a workspace.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemberView {
    /// The user's ID.
    #[schema(example = "user_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    user: String,
    email: Option<String>,
    name: Option<String>,
    /// `owner`, `admin`, `member`, `viewer` or `billing`.
    #[schema(example = "member")]
    role: &'static str,
    #[schema(format = DateTime)]
    joined_at: String,
}

impl MemberView {
    pub(super) fn new(member: &MemberState, profile: Profile) -> Self {
        Self {
            user: profile.id.to_string(),
            email: profile.email,
            name: profile.name,
            role: Role::from_number(member.role).map_or("", Role::as_str),
            joined_at: iso8601(member.joined_at_ms),
        }
    }
}

/// The role of a member.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleBody {
    /// `admin`, `member`, `viewer` or `billing`.
    #[schema(value_type = AssignableRole, example = "viewer")]
    role: String,
}

/// Parses a role that can be given.
pub(super) fn parse_role(name: &str) -> Result<Role> {
    let mut invalid = Invalid::default();
    let role = invalid.choice("role", Some(name), &Role::ASSIGNABLE, Role::as_str);
    invalid.into_result()?;
    role.ok_or_else(|| ServiceError::field("role", "is required"))
}

fn parse_user(id: &str) -> Result<UserId> {
    id.parse().map_err(|_| ServiceError::not_found("member"))
}

/// Lists the members of a workspace.
#[utoipa::path(
    get, path = "/workspaces/{workspace}/members", params(PageParams),
    responses((status = 200, body = PageOf<MemberView>)),
)]
pub async fn list(
    api: Api,
    Name(workspace): Name,
    mut params: Params,
) -> Result<Json<PageOf<MemberView>>> {
    let page = Page::take(&mut params);
    params.finish()?;
    let actor = api.in_workspace(&workspace)?;
    let members = api.services.accounts.members(actor.workspace)?;
    Ok(Json(page.of(members, |(member, profile)| Ok(MemberView::new(&member, profile)))?))
}

/// Changes the role of a member.
///
/// Both the previous and the new role can do no more than the caller's own.
#[utoipa::path(
    patch, path = "/workspaces/{workspace}/members/{user}", request_body = RoleBody,
    responses(
        (status = 200, body = Changed<MemberView>),
        (status = 409, description = "The member is the owner."),
    ),
)]
pub async fn update(
    api: Api,
    Path((workspace, user)): Path<(String, String)>,
    body: JsonBody<RoleBody>,
) -> Result<Json<Changed<MemberView>>> {
    let (actor, user) = (api.in_workspace(&workspace)?, parse_user(&user)?);
    let command = WorkspaceCommand::ChangeMember(user, parse_role(&body.value.role)?);
    let done = api.services.accounts.run_in_workspace(actor, command).await?;
    let profile = api.services.accounts.profile_of(user)?;
    let (Outcome::Member(member), Some(profile)) = (done.outcome, profile) else {
        return Err(ServiceError::not_found("member"));
    };
    Ok(Json(Changed::new(MemberView::new(&member, profile), done.offset)))
}

/// Removes a member from a workspace.
///
/// Members can remove themselves; removing others requires the ability `members:write` too. Tokens
/// of the member in this workspace are refused from then on.
#[utoipa::path(
    delete, path = "/workspaces/{workspace}/members/{user}",
    responses(
        (status = 204, description = "Removed."),
        (status = 409, description = "The member is the owner."),
    ),
)]
pub async fn delete(api: Api, Path((workspace, user)): Path<(String, String)>) -> Result<Response> {
    let (actor, user) = (api.in_workspace(&workspace)?, parse_user(&user)?);
    let command = WorkspaceCommand::RemoveMember(user);
    let done = api.services.accounts.run_in_workspace(actor, command).await?;
    Ok((StatusCode::NO_CONTENT, log_offset(done.offset)).into_response())
}
