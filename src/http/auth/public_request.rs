//! Requests without credentials, such as those that sign in.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::check_origin;
use crate::commands::accounts::{Credentials, SessionKind, SignedIn};
use crate::domain::error::{Result, ServiceError};
use crate::http::{Services, security};

/// A request without credentials, and where it comes from.
pub struct PublicRequest {
    /// The services.
    pub services: Services,
    /// The request without its body.
    pub parts: Parts,
}

impl FromRequestParts<Services> for PublicRequest {
    type Rejection = ServiceError;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self> {
        // Links on other sites may lead here.
        if !parts.method.is_safe() {
            check_origin(&parts.headers, services)?;
        }
        Self::from_any_site(parts, services)
    }
}

impl PublicRequest {
    /// A request that a page of any site may have caused: its response must not set a cookie.
    pub fn from_any_site(parts: &Parts, services: &Services) -> Result<Self> {
        security::protect_token(parts, services)?;
        Ok(Self { services: services.clone(), parts: parts.clone() })
    }

    /// The client's address.
    pub fn address(&self) -> IpAddr {
        self.services.visitors.client(&self.parts)
    }

    /// Signs in, within the limits.
    pub async fn sign_in(&self, credentials: Credentials, kind: SessionKind) -> Result<SignedIn> {
        let (limits, email) = (&self.services.sign_in_limits, credentials.email.clone());
        limits.attempt(self.address(), &email)?;
        let client = self.services.visitors.describe_client(&self.parts.headers);
        let signed_in = self.services.accounts.sign_in(credentials, kind, client).await;
        limits.settle(self.address(), &email, signed_in.as_ref().err().map(|error| error.code))?;
        signed_in
    }
}
