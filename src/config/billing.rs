//! The secrets of payment providers and of schedulers.

use std::fmt;

use anyhow::ensure;
use serde::Deserialize;

use super::ServeArgs;
use crate::commands::secret;
use crate::http::ProviderSecrets;

/// The least length of a secret.
const MIN_BYTES: usize = 16;

/// A secret that another program knows too.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

fn is_long(secret: Option<&Secret>) -> bool {
    secret.is_none_or(|secret| secret.0.len() >= MIN_BYTES)
}

/// Validates the secrets of providers.
pub(super) fn check(args: &ServeArgs) -> anyhow::Result<ProviderSecrets> {
    let secret = |name: &str, given: &Option<Secret>| {
        ensure!(is_long(given.as_ref()), "{name} must have at least {MIN_BYTES} bytes");
        Ok(given.as_ref().map(|secret| secret.0.clone()))
    };
    Ok(ProviderSecrets {
        stripe: secret("stripe-webhook-secret", &args.stripe_webhook_secret)?,
        generic: secret("billing-webhook-secret", &args.billing_webhook_secret)?,
    })
}

/// The SHA-256 of a secret, which is compared with that of a request's.
pub(super) fn hashed(given: Option<&Secret>) -> anyhow::Result<Option<[u8; 32]>> {
    ensure!(is_long(given), "must have at least {MIN_BYTES} bytes");
    Ok(given.map(|given| secret::hash(&given.0)))
}
