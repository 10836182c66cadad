//! The secrets of payment providers.

use std::fmt;

use anyhow::ensure;
use serde::Deserialize;

use super::ServeArgs;
use crate::http::ProviderSecrets;

/// The least length of a secret.
const MIN_BYTES: usize = 16;

/// A secret with which a payment provider signs.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct WebhookSecret(String);

impl From<String> for WebhookSecret {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(redacted)")
    }
}

/// Validates the secrets.
pub(super) fn check(args: &ServeArgs) -> anyhow::Result<ProviderSecrets> {
    let secret = |name: &str, given: &Option<WebhookSecret>| {
        let secret = given.as_ref().map(|secret| secret.0.clone());
        let is_long = secret.as_ref().is_none_or(|secret| secret.len() >= MIN_BYTES);
        ensure!(is_long, "{name} must have at least {MIN_BYTES} bytes");
        Ok(secret)
    };
    Ok(ProviderSecrets {
        stripe: secret("stripe-webhook-secret", &args.stripe_webhook_secret)?,
        generic: secret("billing-webhook-secret", &args.billing_webhook_secret)?,
    })
}
