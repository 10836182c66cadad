//! `/api/v1/auth`, also served at `/api/auth`: signing in and out, signing up, and what the links
//! in mails do.

mod links;

use axum::Json;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::route::Routes;
use super::user::UserView;
use super::{Data, iso8601};
use crate::commands::accounts::{Credentials, LinkPurpose, NewUser, SessionKind, SignedIn};
use crate::domain::error::{Result, ServiceError};
use crate::domain::mail::Message;
use crate::http::Services;
use crate::http::auth::{Access, Api, PublicRequest, Session};
use crate::http::body::JsonBody;

pub fn routes() -> Routes {
    Routes::of("auth", "auth")
        .without_idempotency_keys()
        .route(Access::Public, routes!(login))
        .route(Access::Public, routes!(token))
        .route(Access::SignedIn, routes!(session))
        .route(Access::SignedIn, routes!(logout))
        .route(Access::Public, routes!(sign_up))
        .route(Access::Public, routes!(links::set_up))
        .route(Access::Public, routes!(links::verify))
        .route(Access::Public, routes!(links::confirm_email))
        .route(Access::Public, routes!(links::forgot_password))
        .route(Access::Public, routes!(links::reset_password))
}

/// An email address, a password, and the code of the second factor.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignInBody {
    #[schema(example = "ada@example.com")]
    email: String,
    #[schema(example = "correct horse battery")]
    password: String,
    /// The code of the authenticator app, or a recovery code; required if two-factor authentication
    /// is on.
    #[schema(example = "123456")]
    #[serde(default)]
    code: Option<String>,
}

/// A session in a browser.
#[derive(Serialize, ToSchema)]
pub struct SessionStart {
    user: UserView,
    /// The value of `X-CSRF-Token` in each request that changes something.
    csrf_token: String,
    /// When the session ends at the latest.
    #[schema(format = DateTime)]
    expires_at: String,
    /// The JWT, if the session has one in place of a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// A JWT.
#[derive(Serialize, ToSchema)]
pub struct JwtView {
    /// Accepted wherever an API token is: `Authorization: Bearer <token>`.
    token: String,
    user: JwtUser,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// The user of a JWT.
#[derive(Serialize, ToSchema)]
pub struct JwtUser {
    #[schema(example = "user_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    id: String,
    email: Option<String>,
    name: Option<String>,
    #[schema(example = "USER")]
    role: &'static str,
}

/// A user to sign up.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignUpBody {
    /// The email address; may be omitted with an invitation.
    #[serde(default)]
    #[schema(example = "ada@example.com")]
    email: String,
    /// 10 to 200 characters.
    #[schema(min_length = 10, max_length = 200, example = "correct horse battery")]
    password: String,
    #[serde(default)]
    #[schema(max_length = 100, example = "Ada")]
    name: Option<String>,
    /// The token of an invitation's link, which proves the address.
    #[serde(default)]
    invitation: Option<String>,
}

fn credentials(SignInBody { email, password, code }: SignInBody) -> Result<Credentials> {
    Credentials { email, password, code }.required()
}

/// The `Set-Cookie` header of a session, and the body; a JWT is in the body.
pub fn started(services: &Services, signed_in: SignedIn, kind: SessionKind) -> Response {
    let SignedIn { profile, session, secret, expires_at_ms } = signed_in;
    let seconds = expires_at_ms.saturating_sub(crate::commands::now_ms()) / 1_000;
    let (cookie, token) = match kind {
        SessionKind::Browser => (services.session_cookies.set(&secret, seconds), None),
        SessionKind::Jwt => (None, Some(secret)),
    };
    let headers = AppendHeaders(cookie.map(|cookie| (SET_COOKIE, cookie)));
    let csrf_token = services.session_cookies.csrf_token(session);
    let expires_at = iso8601(expires_at_ms);
    let data = SessionStart { user: profile.into(), csrf_token, expires_at, token };
    (headers, Json(Data { data })).into_response()
}

/// Signs in with a cookie, for browsers.
///
/// Sets the cookie of a new session, and ends the previous one. Requests that change something need
/// the `csrf_token` as `X-CSRF-Token`.
#[utoipa::path(
    post, path = "/auth/login", request_body = SignInBody,
    responses(
        (status = 200, body = Data<SessionStart>),
        (status = 401, description = "The address, the password or the code is wrong, or the code is missing (`error` is `needs_2fa`)."),
        (status = 403, description = "The account is blocked, or its address is not verified."),
        (status = 429, description = "Too many attempts from this address or for this account."),
    ),
)]
async fn login(from: PublicRequest, body: JsonBody<SignInBody>) -> Result<Response> {
    let services = &from.services;
    let signed_in = from.sign_in(credentials(body.value)?, SessionKind::Browser).await?;
    if let Some(cookie) = services.session_cookies.value(&from.parts.headers)
        && let Ok(before) = services.accounts.by_cookie(cookie)
    {
        let (user, before) = before.session.ids()?;
        // It may have ended meanwhile.
        let _ended = services.accounts.end_session(user, before).await;
    }
    Ok(started(services, signed_in, SessionKind::Browser))
}

/// Signs in with a JWT, for apps.
///
/// The token is accepted wherever an API token is, until it expires or its session is revoked.
#[utoipa::path(
    post, path = "/auth/token", request_body = SignInBody,
    responses(
        (status = 200, body = JwtView),
        (status = 401, description = "The address, the password or the code is wrong, or the code is missing (`error` is `needs_2fa`)."),
        (status = 403, description = "The account is blocked, or its address is not verified."),
        (status = 429, description = "Too many attempts from this address or for this account."),
    ),
)]
async fn token(from: PublicRequest, body: JsonBody<SignInBody>) -> Result<Json<JwtView>> {
    let signed_in = from.sign_in(credentials(body.value)?, SessionKind::Jwt).await?;
    let SignedIn { profile, secret: token, expires_at_ms, .. } = signed_in;
    let user = JwtUser {
        id: profile.id.to_string(),
        email: profile.email,
        name: profile.name,
        role: profile.role.as_str(),
    };
    Ok(Json(JwtView { token, user, expires_at: iso8601(expires_at_ms) }))
}

/// The session of a request.
#[derive(Serialize, ToSchema)]
pub struct CurrentSession {
    #[schema(example = "sess_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    id: String,
    user: UserView,
    /// The ID of the workspace of this request.
    workspace: String,
    /// The role in this workspace.
    role: &'static str,
    /// The value of `X-CSRF-Token` in each request with the cookie that changes something.
    csrf_token: String,
}

/// Retrieves the session and its user.
#[utoipa::path(get, path = "/auth/session", responses((status = 200, body = Data<CurrentSession>)))]
async fn session(api: Api, session: Session) -> Result<Json<Data<CurrentSession>>> {
    let Api { services, actor } = &api;
    let profile = services.accounts.profile_of(session.user)?;
    let profile = profile.ok_or_else(|| ServiceError::not_found("user"))?;
    let data = CurrentSession {
        id: session.id.to_string(),
        user: profile.into(),
        workspace: actor.workspace.to_string(),
        role: actor.user.map_or("", |(_, role)| role.as_str()),
        csrf_token: services.session_cookies.csrf_token(session.id),
    };
    Ok(Json(Data { data }))
}

/// Signs out.
///
/// The session ends, and its cookie is removed.
#[utoipa::path(post, path = "/auth/logout", responses((status = 204, description = "Signed out.")))]
async fn logout(api: Api, session: Session) -> Result<Response> {
    api.services.accounts.end_session(session.user, session.id).await?;
    api.services.tokens.last_used.forget(session.id.uuid());
    let cookie: Option<HeaderValue> = api.services.session_cookies.set("", 0);
    let headers = AppendHeaders(cookie.map(|cookie| (SET_COOKIE, cookie)));
    Ok((StatusCode::NO_CONTENT, headers).into_response())
}

/// Signs up, if the installation allows it.
///
/// With an invitation, the user is created at once. Otherwise a mail with a link is sent, and the
/// response does not tell whether the address has an account already.
#[utoipa::path(
    post, path = "/auth/sign-up", request_body = SignUpBody,
    responses(
        (status = 201, description = "The invited user was created.", body = Data<UserView>),
        (status = 202, description = "A mail was sent to the address."),
        (status = 403, description = "Signing up is closed."),
        (status = 404, description = "There is no such invitation."),
        (status = 409, description = "The invited address has an account: sign in."),
        (status = 410, description = "The invitation has expired."),
        (status = 429, description = "Too many attempts from this address or for this account."),
    ),
)]
async fn sign_up(from: PublicRequest, body: JsonBody<SignUpBody>) -> Result<Response> {
    let SignUpBody { email, password, name, invitation } = body.value;
    let (services, accounts) = (&from.services, &from.services.accounts);
    services.sign_in_limits.mail(from.address(), invitation.as_ref().unwrap_or(&email))?;
    let new = NewUser { email, name, password: Some(password), ..NewUser::default() };
    if let Some(invitation) = invitation {
        let user = accounts.sign_up_invited(&invitation, new).await?;
        let data = UserView::from(accounts.profile(&user));
        return Ok((StatusCode::CREATED, Json(Data { data })).into_response());
    }
    let (email, purpose, token) = accounts.sign_up(new).await?;
    let link = services.account_url(purpose, &token);
    let message = match purpose {
        LinkPurpose::Reset => Message::AccountExists { link },
        _ => Message::Verification { link },
    };
    services.send_mail(&email, message);
    Ok(StatusCode::ACCEPTED.into_response())
}

impl Services {
    /// Sends a mail, if mail is configured.
    pub fn send_mail(&self, to: &str, message: Message) {
        if let Some(mailer) = &self.mailer
            && !mailer.send(to, message)
        {
            tracing::warn!("a mail was not sent: too many are waiting");
        }
    }
}
