//! `/api/v1/user/2fa`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{PasswordBody, count_attempt, settle_attempt};
use crate::domain::error::Result;
use crate::domain::ids::UserId;
use crate::domain::mail::Message;
use crate::http::Services;
use crate::http::auth::Session;
use crate::http::body::JsonBody;
use crate::http::native::Data;

/// What an authenticator app needs.
#[derive(Serialize, ToSchema)]
pub struct TwoFactorView {
    /// The secret in base 32, for entering it by hand.
    #[schema(example = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")]
    secret: String,
    /// The `otpauth:` URI with the secret.
    otpauth_uri: String,
    /// The URI as a QR code: an SVG image.
    qr_svg: Option<String>,
}

/// A code of the authenticator app.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeBody {
    #[schema(example = "123456")]
    code: String,
}

/// Recovery codes.
#[derive(Serialize, ToSchema)]
pub struct RecoveryCodes {
    /// Each replaces a code of the app once.
    recovery_codes: Vec<String>,
}

fn notify(services: &Services, user: UserId, enabled: bool) -> Result<()> {
    if let Some(email) = services.accounts.profile_of(user)?.and_then(|profile| profile.email) {
        services.send_mail(&email, Message::TwoFactorChanged { enabled });
    }
    Ok(())
}

/// Begins to set up two-factor authentication (TOTP, RFC 6238).
///
/// It is turned on by confirming a code of the app.
#[utoipa::path(
    post, path = "/user/2fa", request_body = PasswordBody,
    responses(
        (status = 200, body = Data<TwoFactorView>),
        (status = 403, description = "The password is wrong."),
        (status = 409, description = "Two-factor authentication is on already."),
    ),
)]
pub async fn begin_2fa(
    State(services): State<Services>,
    session: Session,
    parts: Parts,
    body: JsonBody<PasswordBody>,
) -> Result<Json<Data<TwoFactorView>>> {
    count_attempt(&services, &parts, session)?;
    let begun = services.accounts.begin_two_factor(session.user, body.value.password).await;
    // The right password is no guess: the app's code is asked for next.
    settle_attempt(&services, &parts, session, begun.as_ref().err())?;
    let begun = begun?;
    let data = TwoFactorView { secret: begun.secret, otpauth_uri: begun.uri, qr_svg: begun.qr_svg };
    Ok(Json(Data { data }))
}

/// Turns two-factor authentication on, with a code of the app.
///
/// The recovery codes are returned once, in this response only.
#[utoipa::path(
    post, path = "/user/2fa/confirm", request_body = CodeBody,
    responses(
        (status = 200, body = Data<RecoveryCodes>),
        (status = 409, description = "Two-factor authentication is not being set up."),
    ),
)]
pub async fn confirm_2fa(
    State(services): State<Services>,
    session: Session,
    parts: Parts,
    body: JsonBody<CodeBody>,
) -> Result<Json<Data<RecoveryCodes>>> {
    count_attempt(&services, &parts, session)?;
    let code = &body.value.code;
    let recovery_codes = services.accounts.confirm_two_factor(session.user, code).await?;
    notify(&services, session.user, true)?;
    Ok(Json(Data { data: RecoveryCodes { recovery_codes } }))
}

/// Turns two-factor authentication off.
#[utoipa::path(
    delete, path = "/user/2fa", request_body = PasswordBody,
    responses(
        (status = 204, description = "Turned off."),
        (status = 403, description = "The password is wrong."),
        (status = 409, description = "Two-factor authentication is off already."),
    ),
)]
pub async fn disable_2fa(
    State(services): State<Services>,
    session: Session,
    parts: Parts,
    body: JsonBody<PasswordBody>,
) -> Result<StatusCode> {
    count_attempt(&services, &parts, session)?;
    services.accounts.disable_two_factor(session.user, body.value.password).await?;
    notify(&services, session.user, false)?;
    Ok(StatusCode::NO_CONTENT)
}
