//! The settings of accounts.

use std::time::Duration;

use anyhow::{Context, bail};

use super::ServeArgs;
use crate::commands::accounts::SignUpMode;
use crate::effects::mail::MailSettings;
use crate::identity::jwt::MAX_LIFETIME;

const MIN_LIFETIME: Duration = Duration::from_secs(60);

/// Parses who can sign up.
pub(super) fn sign_up(text: &str) -> anyhow::Result<SignUpMode> {
    let mode = SignUpMode::named(text);
    mode.with_context(|| format!("must be closed, invitation or open, not `{text}`"))
}

/// Parses the lifetime of JWTs.
pub(super) fn jwt_lifetime(text: &str) -> anyhow::Result<Duration> {
    let lifetime = humantime::parse_duration(text)
        .with_context(|| format!("`{text}` is not a duration such as 1h"))?;
    if !(MIN_LIFETIME..=MAX_LIFETIME).contains(&lifetime) {
        bail!("must be from 1min to 30days");
    }
    Ok(lifetime)
}

/// Refuses open sign-up without mail, which proves addresses.
pub(super) fn check(
    args: &ServeArgs,
    mail: Option<MailSettings>,
) -> anyhow::Result<Option<MailSettings>> {
    if mail.is_none() && args.sign_up.as_deref() == Some("open") {
        bail!("sign-up: open requires --smtp-url, because a mail confirms each address");
    }
    Ok(mail)
}
