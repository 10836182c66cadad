//! `/api/v1/admin/users`: all users, for the operator and superadmins.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::commands::accounts::{NewUser, Profile};
use crate::domain::error::{ErrorCode, Invalid, Result, ServiceError};
use crate::domain::ids::{UserId, WorkspaceId};
use crate::domain::token::Actor;
use crate::domain::user::UserRole;
use crate::domain::workspace::Role;
use crate::domain::workspace::command::WorkspaceCommand;
use crate::http::Services;
use crate::http::auth::ActingSuperadmin;
use crate::http::body::JsonBody;
use crate::http::native::Data;
use crate::http::native::page::{Page, PageOf, PageParams};
use crate::http::native::user::UserView;
use crate::http::params::{Name, Params};

/// A user to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUserBody {
    #[schema(example = "ada@example.com")]
    email: String,
    #[serde(default)]
    #[schema(max_length = 100, example = "Ada")]
    name: Option<String>,
    /// 10 to 200 characters; without it, the response has a link to set one.
    #[serde(default)]
    #[schema(min_length = 10, max_length = 200)]
    password: Option<String>,
    /// `USER` or `SUPERADMIN`; by default `SUPERADMIN` for the first user.
    #[serde(default)]
    #[schema(value_type = Option<UserRole>, example = "USER")]
    role: Option<String>,
    /// The ID of a workspace to add the user to.
    #[serde(default)]
    #[schema(example = "ws_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    workspace: Option<String>,
    /// The role in that workspace: `owner` (if it has none), `admin`, `member`, `viewer` or
    /// `billing`; `member` by default.
    #[serde(default)]
    #[schema(value_type = Option<Role>, example = "member")]
    workspace_role: Option<String>,
}

/// A change of a user; absent fields stay as they are.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangedUserBody {
    /// `USER` or `SUPERADMIN`.
    #[serde(default)]
    #[schema(value_type = Option<UserRole>, example = "SUPERADMIN")]
    role: Option<String>,
    /// Whether the user cannot sign in; blocking ends all sessions.
    #[serde(default)]
    blocked: Option<bool>,
    /// `false` turns two-factor authentication off, for a user who has lost the app and the recovery
    /// codes. Only the user can turn it on.
    #[serde(default)]
    two_factor: Option<bool>,
}

/// A user, and a link to hand over.
#[derive(Serialize, ToSchema)]
pub struct LinkedUser {
    user: UserView,
    /// A link with which the user sets a password, once; null if the user was created with one.
    link: Option<String>,
}

fn parse(id: &str) -> Result<UserId> {
    id.parse().map_err(|_| ServiceError::not_found("user"))
}

fn link(services: &Services, id: UserId) -> Result<String> {
    let (purpose, token) = services.accounts.operator_link(id)?;
    Ok(services.account_url(purpose, &token))
}

/// The workspaces and roles of a new user: the named one; or for the first user, all that have no
/// owner.
fn memberships(
    services: &Services,
    body: &NewUserBody,
    is_first: bool,
) -> Result<Vec<(WorkspaceId, Role)>> {
    let mut invalid = Invalid::default();
    let role = body.workspace_role.as_deref();
    let role = invalid.choice("workspace_role", role, Role::EVERY, Role::as_str);
    let accounts = &services.accounts;
    let found = match body.workspace.as_deref() {
        Some(text) => match text.parse() {
            Ok(id) if !accounts.is_deleted(id)? => {
                let role = role.unwrap_or(Role::Member);
                check_membership(services, id, role)?;
                vec![(id, role)]
            }
            _ => {
                invalid.add("workspace", "is not the id of a workspace");
                Vec::new()
            }
        },
        None if is_first => accounts.ownerless()?.into_iter().map(|id| (id, Role::Owner)).collect(),
        None => Vec::new(),
    };
    invalid.into_result()?;
    Ok(found)
}

/// Refuses a membership that the command would refuse, before the user is created.
fn check_membership(services: &Services, id: WorkspaceId, role: Role) -> Result<()> {
    let owner = services.accounts.workspace(id)?.map(|found| found.owner).unwrap_or_default();
    let text = if owner == id.as_bytes() {
        "A personal workspace has one member."
    } else if role == Role::Owner && !owner.is_empty() {
        "The workspace has an owner already."
    } else {
        return Ok(());
    };
    Err(ServiceError::new(ErrorCode::Conflict, text))
}

/// Creates a user.
///
/// The first user is a superadmin, and owns the workspaces that have no owner.
#[utoipa::path(
    post, path = "/admin/users", request_body = NewUserBody,
    responses(
        (status = 201, body = Data<LinkedUser>),
        (status = 409, description = "The address has an account."),
    ),
)]
pub async fn create(
    State(services): State<Services>,
    ActingSuperadmin(by): ActingSuperadmin,
    body: JsonBody<NewUserBody>,
) -> Result<(StatusCode, Json<Data<LinkedUser>>)> {
    let (accounts, body) = (&services.accounts, body.value);
    let is_first = !accounts.has_users()?;
    let mut invalid = Invalid::default();
    let role = invalid.choice("role", body.role.as_deref(), UserRole::EVERY, UserRole::as_str);
    invalid.into_result()?;
    let default = if is_first { UserRole::Superadmin } else { UserRole::User };
    let memberships = memberships(&services, &body, is_first)?;
    let NewUserBody { email, name, password, .. } = body;
    let role = role.unwrap_or(default);
    let new = NewUser { email, name, password, role, is_verified: true };
    let mut user = accounts.profile(&accounts.create(new, by).await?);
    for (workspace, role) in &memberships {
        let command = WorkspaceCommand::AddMember(user.id, *role);
        accounts.run_in_workspace(Actor::operator_as(*workspace, by), command).await?;
    }
    if let [(workspace, _)] = memberships[..] {
        user = accounts.set_default_workspace(user.id, by, workspace).await?;
    }
    let link = if user.has_password { None } else { Some(link(&services, user.id)?) };
    Ok((StatusCode::CREATED, Json(Data { data: LinkedUser { user: user.into(), link } })))
}

/// Lists all users, oldest first.
#[utoipa::path(
    get, path = "/admin/users", params(PageParams),
    responses((status = 200, body = PageOf<UserView>)),
)]
pub async fn list(
    State(services): State<Services>,
    mut params: Params,
) -> Result<Json<PageOf<UserView>>> {
    let page = Page::take(&mut params);
    params.finish()?;
    let accounts = services.accounts;
    let users = accounts.users().await?;
    Ok(Json(page.of(users, |user| Ok(accounts.profile(&user).into()))?))
}

fn found(profile: Option<Profile>) -> Result<Json<Data<UserView>>> {
    let profile = profile.ok_or_else(|| ServiceError::not_found("user"))?;
    Ok(Json(Data { data: profile.into() }))
}

/// Blocks or unblocks a user, or changes the role.
///
/// Blocking a user or changing the role ends all sessions.
#[utoipa::path(
    patch, path = "/admin/users/{user}", request_body = ChangedUserBody,
    responses(
        (status = 200, body = Data<UserView>),
        (status = 409, description = "The user is the last superadmin."),
    ),
)]
pub async fn update(
    State(services): State<Services>,
    ActingSuperadmin(by): ActingSuperadmin,
    Name(id): Name,
    body: JsonBody<ChangedUserBody>,
) -> Result<Json<Data<UserView>>> {
    let (accounts, id) = (&services.accounts, parse(&id)?);
    let ChangedUserBody { role, blocked, two_factor } = body.value;
    let mut invalid = Invalid::default();
    if two_factor == Some(true) {
        invalid.add("two_factor", "can be false only");
    }
    let role = invalid.choice("role", role.as_deref(), UserRole::EVERY, UserRole::as_str);
    invalid.into_result()?;
    if two_factor.is_some() {
        accounts.reset_two_factor(id, by).await?;
    }
    if let Some(is_blocked) = blocked {
        accounts.block(id, by, is_blocked).await?;
    }
    if let Some(role) = role {
        accounts.set_role(id, by, role).await?;
    }
    found(accounts.profile_of(id)?)
}

/// Creates a link with which a user sets a password, once.
///
/// It is valid for an hour; for a user without an email address, who sets that too, for a week.
#[utoipa::path(
    post, path = "/admin/users/{user}/link",
    responses((status = 200, body = Data<LinkedUser>)),
)]
pub async fn create_link(
    State(services): State<Services>,
    ActingSuperadmin(by): ActingSuperadmin,
    Name(id): Name,
) -> Result<Json<Data<LinkedUser>>> {
    let id = parse(&id)?;
    // No event: the link changes nothing until it is followed, which is one.
    let by = by.map_or_else(|| "operator".to_owned(), |by| by.to_string());
    tracing::info!(user = %id, by, "created a link that sets a password");
    let link = Some(link(&services, id)?);
    let profile = services.accounts.profile_of(id)?;
    let profile = profile.ok_or_else(|| ServiceError::not_found("user"))?;
    Ok(Json(Data { data: LinkedUser { user: profile.into(), link } }))
}

/// Deletes a user.
///
/// From then on, the personal data cannot be read, not even in the log.
#[utoipa::path(
    delete, path = "/admin/users/{user}",
    responses(
        (status = 204, description = "Deleted."),
        (status = 409, description = "The user owns a shared workspace, or is the last superadmin."),
    ),
)]
pub async fn delete(
    State(services): State<Services>,
    ActingSuperadmin(by): ActingSuperadmin,
    Name(id): Name,
) -> Result<StatusCode> {
    services.accounts.delete(parse(&id)?, by).await?;
    Ok(StatusCode::NO_CONTENT)
}
