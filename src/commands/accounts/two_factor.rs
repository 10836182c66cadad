//! Two-factor authentication: a TOTP secret, confirmed by a code, and recovery codes.

use super::{Accounts, TOTP};
use crate::commands::now_ms;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::UserState;
use crate::domain::ids::UserId;
use crate::domain::user::SecondFactor;
use crate::domain::user::command::{TwoFactorChange, UserChange};
use crate::identity::recovery_codes;
use crate::identity::totp::TotpSecret;

/// What an authenticator app needs.
pub struct TwoFactorSetUp {
    /// The secret in base 32.
    pub secret: String,
    /// The `otpauth:` URI.
    pub uri: String,
    /// The URI as a QR code, in SVG.
    pub qr_svg: Option<String>,
}

impl Accounts {
    /// Begins to set up two-factor authentication, which a code has to confirm.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`] if the password is wrong, [`ErrorCode::Conflict`] if it is on
    /// already.
    pub async fn begin_two_factor(&self, id: UserId, password: String) -> Result<TwoFactorSetUp> {
        self.confirm(id, password).await?;
        let account = self.profile(&self.user(id)?).email.unwrap_or_else(|| id.to_string());
        let secret = TotpSecret::generate();
        let sealed = self.seal(id.uuid(), TOTP, secret.base32()).await?;
        self.change(id, Some(id), UserChange::TwoFactor(TwoFactorChange::Begin(sealed))).await?;
        let issuer = &self.settings.issuer;
        Ok(TwoFactorSetUp {
            secret: secret.base32(),
            uri: secret.uri(issuer, &account),
            qr_svg: secret.qr_svg(issuer, &account),
        })
    }

    /// Turns two-factor authentication on. Returns the recovery codes, which can't be shown again.
    ///
    /// # Errors
    /// If the code is wrong, or none is being set up.
    pub async fn confirm_two_factor(&self, id: UserId, code: &str) -> Result<Vec<String>> {
        let user = self.user(id)?;
        if user.two_factor.as_ref().is_none_or(|two_factor| two_factor.is_enabled) {
            let text = "Two-factor authentication is not being set up.";
            return Err(ServiceError::new(ErrorCode::Conflict, text));
        }
        let Some(SecondFactor::Totp(step)) = self.factor_of(&user, code) else {
            return Err(ServiceError::field("code", "is not the current code of the app"));
        };
        let codes = recovery_codes::generate();
        let recovery_sha256 = codes.iter().map(|code| recovery_codes::hash(code)).collect();
        let change = UserChange::TwoFactor(TwoFactorChange::Enable { step, recovery_sha256 });
        self.change(id, Some(id), change).await?;
        Ok(codes)
    }

    /// Turns two-factor authentication off.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`] if the password is wrong.
    pub async fn disable_two_factor(&self, id: UserId, password: String) -> Result<()> {
        self.confirm(id, password).await?;
        if self.user(id)?.two_factor.is_none() {
            let text = "Two-factor authentication is off already.";
            return Err(ServiceError::new(ErrorCode::Conflict, text));
        }
        self.change(id, Some(id), UserChange::TwoFactor(TwoFactorChange::Disable)).await?;
        Ok(())
    }

    /// Turns two-factor authentication off for a user who has lost the app and the recovery codes.
    pub async fn reset_two_factor(&self, id: UserId, by: Option<UserId>) -> Result<()> {
        self.change(id, by, UserChange::TwoFactor(TwoFactorChange::Disable)).await?;
        Ok(())
    }

    /// Which second factor a code is: a valid TOTP code, else a recovery code.
    pub(super) fn factor_of(&self, user: &UserState, code: &str) -> Option<SecondFactor> {
        let two_factor = user.two_factor.as_ref()?;
        let secret = self.open(user.user_id().ok()?.uuid(), TOTP, &two_factor.secret)?;
        let last_step = two_factor.is_enabled.then_some(two_factor.last_step);
        let step = TotpSecret::from_base32(&secret)?.matching_step(code, now_ms(), last_step);
        let recovery = || SecondFactor::RecoveryCode(recovery_codes::hash(code));
        Some(step.map_or_else(recovery, SecondFactor::Totp))
    }
}
