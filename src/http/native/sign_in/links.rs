//! What the links in mails do, for clients that show their own pages.

use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::commands::accounts::LinkPurpose;
use crate::domain::error::Result;
use crate::domain::mail::Message;
use crate::http::Services;
use crate::http::auth::PublicRequest;
use crate::http::body::JsonBody;
use crate::http::native::Data;
use crate::http::native::user::UserView;

/// The token of a link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkBody {
    /// The last part of the link.
    token: String,
}

/// The token of a set-up link, and the address and password of the new user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetUpBody {
    /// The last part of the link.
    token: String,
    #[schema(example = "ada@example.com")]
    email: String,
    /// 10 to 200 characters.
    #[schema(min_length = 10, max_length = 200, example = "correct horse battery")]
    password: String,
}

/// An email address.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailBody {
    #[schema(example = "ada@example.com")]
    email: String,
}

/// The token of a link, and the new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetBody {
    /// The last part of the link.
    token: String,
    /// 10 to 200 characters.
    #[schema(min_length = 10, max_length = 200, example = "correct horse battery")]
    password: String,
}

/// Sets the email address and the password of a new user, with the token of a set-up link.
#[utoipa::path(
    post, path = "/auth/set-up", request_body = SetUpBody,
    responses(
        (status = 200, body = Data<UserView>),
        (status = 404, description = "The link is not valid."),
        (status = 409, description = "The address has an account."),
        (status = 410, description = "The link has expired or was used."),
    ),
)]
pub async fn set_up(
    from: PublicRequest,
    body: JsonBody<SetUpBody>,
) -> Result<Json<Data<UserView>>> {
    let SetUpBody { token, email, password } = body.value;
    from.services.sign_in_limits.attempt(from.address(), &token)?;
    let profile = from.services.accounts.set_up(&token, &email, password).await?;
    Ok(Json(Data { data: profile.into() }))
}

/// Verifies an email address, with the token of a link.
#[utoipa::path(
    post, path = "/auth/verify", request_body = LinkBody,
    responses(
        (status = 200, body = Data<UserView>),
        (status = 404, description = "The link is not valid."),
        (status = 410, description = "The link has expired or was used."),
    ),
)]
pub async fn verify(from: PublicRequest, body: JsonBody<LinkBody>) -> Result<Json<Data<UserView>>> {
    let profile = from.services.accounts.verify_email(&body.value.token).await?;
    Ok(Json(Data { data: profile.into() }))
}

/// Confirms a new email address, with the token of a link.
#[utoipa::path(
    post, path = "/auth/confirm-email", request_body = LinkBody,
    responses(
        (status = 200, body = Data<UserView>),
        (status = 404, description = "The link is not valid."),
        (status = 409, description = "The address belongs to another account by now."),
        (status = 410, description = "The link has expired or was used."),
    ),
)]
pub async fn confirm_email(
    from: PublicRequest,
    body: JsonBody<LinkBody>,
) -> Result<Json<Data<UserView>>> {
    let (before, profile) = from.services.accounts.confirm_email(&body.value.token).await?;
    if let Some(before) = before {
        from.services.send_mail(&before, Message::EmailChanged);
    }
    Ok(Json(Data { data: profile.into() }))
}

/// Sends a mail with a link to set a new password.
///
/// The response does not tell whether the address has an account. Nothing is sent if mail is not
/// configured.
#[utoipa::path(
    post, path = "/auth/forgot-password", request_body = EmailBody,
    responses(
        (status = 202, description = "A mail is sent if the address has an account."),
        (status = 429, description = "Too many attempts from this address or for this account."),
    ),
)]
pub async fn forgot_password(from: PublicRequest, body: JsonBody<EmailBody>) -> Result<StatusCode> {
    let (services, email) = (&from.services, body.value.email);
    services.sign_in_limits.mail(from.address(), &email)?;
    if let Some((email, token)) = services.accounts.reset(&email)? {
        let link = services.account_url(LinkPurpose::Reset, &token);
        services.send_mail(&email, Message::PasswordReset { link });
    }
    Ok(StatusCode::ACCEPTED)
}

/// Sets a new password, with the token of a link.
///
/// All sessions end.
#[utoipa::path(
    post, path = "/auth/reset-password", request_body = ResetBody,
    responses(
        (status = 200, body = Data<UserView>),
        (status = 404, description = "The link is not valid."),
        (status = 410, description = "The link has expired or was used."),
    ),
)]
pub async fn reset_password(
    from: PublicRequest,
    body: JsonBody<ResetBody>,
) -> Result<Json<Data<UserView>>> {
    let ResetBody { token, password } = body.value;
    let services = &from.services;
    services.sign_in_limits.attempt(from.address(), &token)?;
    let profile = services.accounts.reset_password(&token, password).await?;
    if let Some(email) = &profile.email {
        services.send_mail(email, Message::PasswordChanged);
    }
    Ok(Json(Data { data: profile.into() }))
}

impl Services {
    /// The URL of a link.
    pub fn account_url(&self, purpose: LinkPurpose, token: &str) -> String {
        format!("{}/auth/{}/{token}", self.site.base, purpose.as_str())
    }
}
