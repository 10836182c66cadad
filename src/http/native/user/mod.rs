//! `/api/v1/user`: the account of the caller.

mod sessions;
mod two_factor;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::route::Routes;
use super::sign_in::started;
use super::{Data, iso8601};
use crate::commands::accounts::{LinkPurpose, Profile, SessionKind};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::link::Field;
use crate::domain::mail::Message;
use crate::domain::token::Ability;
use crate::http::Services;
use crate::http::auth::{Access, Api, Session};
use crate::http::body::JsonBody;

pub fn routes() -> Routes {
    Routes::of("user", "user")
        .without_idempotency_keys()
        .route(Ability::UserRead, routes!(get))
        .route(Ability::UserWrite, routes!(update))
        .route(Access::SignedIn, routes!(delete))
        .route(Access::SignedIn, routes!(change_password))
        .route(Access::SignedIn, routes!(change_email))
        .route(Access::SignedIn, routes!(send_verification))
        .route(Access::SignedIn, routes!(sessions::list_sessions))
        .route(Access::SignedIn, routes!(sessions::end_session))
        .route(Access::SignedIn, routes!(sessions::end_sessions))
        .route(Access::SignedIn, routes!(two_factor::begin_2fa))
        .route(Access::SignedIn, routes!(two_factor::confirm_2fa))
        .route(Access::SignedIn, routes!(two_factor::disable_2fa))
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
#[allow(clippy::struct_excessive_bools, reason = "independent properties")]
pub struct UserView {
    #[schema(example = "user_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    id: String,
    /// Null until the user is set up.
    #[schema(example = "ada@example.com")]
    email: Option<String>,
    /// The address that replaces `email` once it is confirmed.
    requested_email: Option<String>,
    #[schema(example = "Ada")]
    name: Option<String>,
    /// The role in the whole installation: `USER` or `SUPERADMIN`.
    #[schema(example = "USER")]
    role: &'static str,
    /// Whether the email address is verified.
    verified: bool,
    /// Whether the user cannot sign in.
    blocked: bool,
    has_password: bool,
    /// Whether signing in needs a second factor.
    two_factor: bool,
    /// The workspace of requests without `X-Workspace`.
    #[schema(example = "ws_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    default_workspace: String,
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<Profile> for UserView {
    fn from(profile: Profile) -> Self {
        Self {
            id: profile.id.to_string(),
            email: profile.email,
            requested_email: profile.requested_email,
            name: profile.name,
            role: profile.role.as_str(),
            verified: profile.is_verified,
            blocked: profile.is_blocked,
            has_password: profile.has_password,
            two_factor: profile.has_two_factor,
            default_workspace: profile.default_workspace.to_string(),
            created_at: iso8601(profile.created_at_ms),
        }
    }
}

/// A change of the caller's account; absent fields stay as they are.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserBody {
    /// The name; null to remove it.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 100, example = "Ada")]
    name: Field<String>,
    /// The workspace of requests without `X-Workspace`.
    #[serde(default)]
    #[schema(example = "ws_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    default_workspace: Option<String>,
}

/// The current password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordBody {
    #[schema(example = "correct horse battery")]
    pub password: String,
}

/// The current password and the new one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPasswordBody {
    #[schema(example = "correct horse battery")]
    password: String,
    /// 10 to 200 characters.
    #[schema(min_length = 10, max_length = 200, example = "another horse battery")]
    new_password: String,
}

/// The new email address and the current password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEmailBody {
    #[schema(example = "ada@example.org")]
    email: String,
    #[schema(example = "correct horse battery")]
    password: String,
}

/// Counts an attempt at the password or a code of the user who calls.
pub fn count_attempt(services: &Services, parts: &Parts, session: Session) -> Result<()> {
    let address = services.visitors.client(parts);
    services.sign_in_limits.attempt(address, &session.user.to_string())
}

/// Takes back an attempt that was no wrong guess.
pub fn settle_attempt(
    services: &Services,
    parts: &Parts,
    session: Session,
    error: Option<&ServiceError>,
) -> Result<()> {
    let address = services.visitors.client(parts);
    let error = error.map(|error| error.code);
    services.sign_in_limits.settle(address, &session.user.to_string(), error)
}

/// Retrieves the caller's account.
#[utoipa::path(
    get, path = "/user",
    responses((status = 200, body = Data<UserView>), (status = 403, description = "The token belongs to no user.")),
)]
async fn get(api: Api) -> Result<Json<Data<UserView>>> {
    let profile = api.services.accounts.profile_of(api.user()?)?;
    let profile = profile.ok_or_else(|| ServiceError::not_found("user"))?;
    Ok(Json(Data { data: profile.into() }))
}

/// Updates the caller's account.
#[utoipa::path(
    patch, path = "/user", request_body = UserBody,
    responses((status = 200, body = Data<UserView>), (status = 403, description = "The token belongs to no user.")),
)]
async fn update(api: Api, body: JsonBody<UserBody>) -> Result<Json<Data<UserView>>> {
    let (user, accounts) = (api.user()?, &api.services.accounts);
    let UserBody { name, default_workspace } = body.value;
    if let Some(workspace) = default_workspace {
        let rule = || ServiceError::field("default_workspace", "is not a workspace of yours");
        let workspace = workspace.parse().map_err(|_| rule())?;
        accounts.set_default_workspace(user, Some(user), workspace).await?;
    }
    match name {
        Field::Absent => {}
        Field::Null => drop(accounts.rename(user, None).await?),
        Field::Value(name) => drop(accounts.rename(user, Some(name)).await?),
    }
    get(api).await
}

/// Deletes the caller's account and the personal workspace.
///
/// From then on, the personal data cannot be read, not even in the log. The data of the personal
/// workspace is removed 30 days later.
#[utoipa::path(
    delete, path = "/user", request_body = PasswordBody,
    responses(
        (status = 204, description = "Deleted."),
        (status = 403, description = "The password is wrong."),
        (status = 409, description = "The user owns a shared workspace, or is the last superadmin."),
    ),
)]
async fn delete(
    State(services): State<Services>,
    session: Session,
    parts: Parts,
    body: JsonBody<PasswordBody>,
) -> Result<StatusCode> {
    count_attempt(&services, &parts, session)?;
    services.accounts.confirm(session.user, body.value.password).await?;
    services.accounts.delete(session.user, Some(session.user)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes the caller's password.
///
/// All sessions end; the response starts a new one of the same kind, with a cookie or a JWT.
#[utoipa::path(
    post, path = "/user/password", request_body = NewPasswordBody,
    responses(
        (status = 200, body = Data<super::sign_in::SessionStart>),
        (status = 403, description = "The current password is wrong."),
    ),
)]
async fn change_password(
    State(services): State<Services>,
    session: Session,
    parts: Parts,
    body: JsonBody<NewPasswordBody>,
) -> Result<Response> {
    count_attempt(&services, &parts, session)?;
    let (accounts, NewPasswordBody { password, new_password }) = (&services.accounts, body.value);
    accounts.change_password(session.user, password, new_password).await?;
    if let Some(email) = accounts.profile_of(session.user)?.and_then(|profile| profile.email) {
        services.send_mail(&email, Message::PasswordChanged);
    }
    let client = services.visitors.describe_client(&parts.headers);
    let kind = if session.is_browser { SessionKind::Browser } else { SessionKind::Jwt };
    let signed_in = accounts.start_again(session.user, kind, client).await?;
    Ok(started(&services, signed_in, kind))
}

/// Requests a change of the caller's email address.
///
/// A mail with a link is sent to the new address, which is used once the link is followed.
#[utoipa::path(
    post, path = "/user/email", request_body = NewEmailBody,
    responses(
        (status = 202, description = "A mail was sent to the new address."),
        (status = 403, description = "The password is wrong."),
        (status = 409, description = "Mail is not configured, so no address can be confirmed."),
    ),
)]
async fn change_email(
    State(services): State<Services>,
    session: Session,
    parts: Parts,
    body: JsonBody<NewEmailBody>,
) -> Result<StatusCode> {
    count_attempt(&services, &parts, session)?;
    if services.mailer.is_none() {
        let text = "Mail is not configured, so the address can't be confirmed: ask the operator.";
        return Err(ServiceError::new(ErrorCode::Conflict, text));
    }
    let NewEmailBody { email, password } = body.value;
    let requested = services.accounts.request_email(session.user, &email, password).await?;
    if let Some((email, token)) = requested {
        let link = services.account_url(LinkPurpose::ChangeEmail, &token);
        services.send_mail(&email, Message::EmailChange { link });
    }
    Ok(StatusCode::ACCEPTED)
}

/// Sends another mail with a link that verifies the caller's address.
#[utoipa::path(
    post, path = "/user/verification",
    responses(
        (status = 202, description = "A mail was sent, unless the address is verified."),
        (status = 409, description = "Mail is not configured."),
        (status = 429, description = "Too many mails were sent to this address."),
    ),
)]
async fn send_verification(
    State(services): State<Services>,
    session: Session,
    parts: Parts,
) -> Result<StatusCode> {
    if services.mailer.is_none() {
        return Err(ServiceError::new(ErrorCode::Conflict, "Mail is not configured."));
    }
    services.sign_in_limits.mail(services.visitors.client(&parts), &session.user.to_string())?;
    if let Some((email, token)) = services.accounts.verification(session.user)? {
        let link = services.account_url(LinkPurpose::Verify, &token);
        services.send_mail(&email, Message::Verification { link });
    }
    Ok(StatusCode::ACCEPTED)
}
