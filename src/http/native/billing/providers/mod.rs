//! `/api/v1/billing/webhooks`: what payment providers report.
//!
//! A provider is a function from a signed body to a [`ProviderReport`], and the place where its
//! signature is: [`stripe`] and [`generic`]. Everything else is the same for all: the signature, the
//! workspace, and the command.
//!
//! The signature is that of Stripe's webhooks: the header has `t=` with the time in seconds since
//! the Unix epoch, and `v1=` with the HMAC-SHA256, in hexadecimal digits, of that time, a dot and
//! the body. Several `v1` are accepted, so that a secret can be replaced without a pause.

mod generic;
mod stripe;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::commands::now_ms;
use crate::domain::command::Command;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::ids::WorkspaceId;
use crate::domain::plan::command::BillingCommand;
use crate::domain::plan::subscription::ProviderReport;
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::body::RawBody;
use crate::identity::signing::unhex;

/// How far the time of a signature may be from now, in seconds.
const TOLERANCE_SECONDS: u64 = 300;

/// The secrets with which the providers sign; `None` for providers that are not used.
#[derive(Clone, Default)]
pub struct ProviderSecrets {
    /// Stripe's, of the webhook endpoint.
    pub stripe: Option<String>,
    /// That of reports in slugline's own format.
    pub generic: Option<String>,
}

impl std::fmt::Debug for ProviderSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProviderSecrets(redacted)")
    }
}

/// A report, and the workspace if the provider names it.
type Report = (Option<WorkspaceId>, ProviderReport);

/// Receives an event of Stripe.
///
/// `checkout.session.completed`, `checkout.session.async_payment_succeeded`, `invoice.paid`,
/// `invoice_payment.paid`, `invoice.payment_failed`, `charge.refunded`,
/// `customer.subscription.updated`, `customer.subscription.deleted`, and, for auto-recharges,
/// `payment_intent.succeeded` and `payment_intent.payment_failed` are applied, each once; the others
/// are ignored.
#[utoipa::path(
    post, path = "/billing/webhooks/stripe", request_body = Value,
    params(("Stripe-Signature" = String, Header, description = "`t=…,v1=…`")),
    responses(
        (status = 204, description = "Applied, applied before, or ignored."),
        (status = 401, description = "The signature is not valid, or too old."),
        (status = 404, description = "No secret is set for the provider, or there is no such workspace."),
        (status = 409, description = "The subscription or the payment is not known yet: send it again later."),
    ),
)]
pub async fn receive_stripe(
    State(services): State<Services>,
    headers: HeaderMap,
    body: RawBody,
) -> Result<StatusCode> {
    let secret = services.provider_secrets.stripe.as_deref();
    let event = verified(secret, headers.get("stripe-signature"), &body.0)?;
    apply(&services, stripe::parse(&event, &services.plans.catalogue())?).await
}

/// Receives a report in slugline's own format.
///
/// Of any other provider, or of a person: see the guide to plans.
#[utoipa::path(
    post, path = "/billing/webhooks/generic", request_body = generic::ReportBody,
    params(("Slugline-Signature" = String, Header, description = "`t=…,v1=…`")),
    responses(
        (status = 204, description = "Applied, or applied before."),
        (status = 401, description = "The signature is not valid, or too old."),
        (status = 404, description = "No secret is set for the provider, or there is no such workspace."),
        (status = 409, description = "The subscription or the payment is not known yet: send it again later."),
    ),
)]
pub async fn receive_generic(
    State(services): State<Services>,
    headers: HeaderMap,
    body: RawBody,
) -> Result<StatusCode> {
    let secret = services.provider_secrets.generic.as_deref();
    let report = verified(secret, headers.get("slugline-signature"), &body.0)?;
    apply(&services, Some(generic::parse(report)?)).await
}

async fn apply(services: &Services, report: Option<Report>) -> Result<StatusCode> {
    let Some((named, report)) = report else { return Ok(StatusCode::NO_CONTENT) };
    let workspace = match (named, report.change.reference()) {
        (Some(named), _) => Some(named),
        (None, Some(reference)) => services.plans.workspace_of(report.provider, reference)?,
        (None, None) => return Err(ServiceError::field("workspace", "is required")),
    };
    let Some(workspace) = workspace else {
        let text = "No workspace has this subscription or payment: send the report again later.";
        return Err(ServiceError::new(ErrorCode::Conflict, text));
    };
    let command = Command::Billing(BillingCommand::Report(report.into()));
    services.commands.run(Actor::operator(workspace), command, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The body, if its signature is valid and recent.
fn verified(secret: Option<&str>, signature: Option<&HeaderValue>, body: &[u8]) -> Result<Value> {
    let Some(secret) = secret else {
        let text = "No secret is set for this payment provider.";
        return Err(ServiceError::new(ErrorCode::NotFound, text));
    };
    let signature = signature.and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !is_signed(secret, signature, body, now_ms() / 1_000) {
        let text = "The signature is not valid, or too old.";
        return Err(ServiceError::new(ErrorCode::InvalidCredential, text));
    }
    let parsed = serde_json::from_slice(body);
    parsed.map_err(|error| ServiceError::field("body", format!("is not JSON: {error}")))
}

fn is_signed(secret: &str, signature: &str, body: &[u8], now: u64) -> bool {
    let parts = || signature.split(',').filter_map(|part| part.trim().split_once('='));
    let Some((_, time)) = parts().find(|(name, _)| *name == "t") else { return false };
    let is_recent = time.parse().is_ok_and(|at: u64| at.abs_diff(now) <= TOLERANCE_SECONDS);
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    let is_valid = |tag: &str| {
        let tag = unhex::<32>(tag.as_bytes());
        tag.is_some_and(|tag| mac.clone().verify_slice(&tag).is_ok())
    };
    is_recent && parts().any(|(name, tag)| name == "v1" && is_valid(tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::signing::hex;

    const BODY: &[u8] = br#"{"id":"evt_1"}"#;
    const AT: u64 = 1_700_000_000;

    fn sign(secret: &str, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{AT}.").as_bytes());
        mac.update(body);
        let tag: [u8; 32] = mac.finalize().into_bytes().into();
        hex(&tag)
    }

    #[test]
    fn only_recent_signatures_with_the_secret_are_valid() {
        let tag = sign("whsec_1", BODY);
        let signature = format!("t={AT},v1={tag},v0=abc");
        assert!(is_signed("whsec_1", &signature, BODY, AT));
        assert!(is_signed("whsec_1", &signature, BODY, AT + TOLERANCE_SECONDS));
        assert!(!is_signed("whsec_1", &signature, BODY, AT + TOLERANCE_SECONDS + 1));
        assert!(!is_signed("whsec_1", &signature, BODY, AT - TOLERANCE_SECONDS - 1));
        assert!(!is_signed("whsec_2", &signature, BODY, AT));
        assert!(!is_signed("whsec_1", &signature, br#"{"id":"evt_2"}"#, AT));
        let other_time = format!("t={},v1={tag}", AT + 1);
        assert!(!is_signed("whsec_1", &other_time, BODY, AT));
        let rotated = format!("t={AT},v1={},v1={tag}", sign("whsec_2", BODY));
        assert!(is_signed("whsec_1", &rotated, BODY, AT));
        for wrong in ["", "t=1", "v1=", "t=,v1=", &format!("t={AT},v0={tag}"), &tag] {
            assert!(!is_signed("whsec_1", wrong, BODY, AT), "{wrong}");
        }
        let cut = format!("t={AT},v1={}", &tag[..62]);
        assert!(!is_signed("whsec_1", &cut, BODY, AT));
    }
}
