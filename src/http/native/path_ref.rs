//! Links and QR codes in paths.

use std::collections::HashMap;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Object, Schema, Type};
use utoipa::openapi::{RefOr, Required};

use crate::domain::command::{DomainRef, LinkRef};
use crate::domain::error::{Result, ServiceError};
use crate::domain::ids::{QrCodeId, WorkspaceId};
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::params::Params;

/// The link, or the QR code of a link, that a path names: by an ID, or by a slug on the domain in
/// the parameter `domain`. The other parameters are left for [`Params`].
pub struct PathRef {
    /// The name in the path.
    pub text: String,
    /// The domain that a slug is on; empty for the default one.
    domain: String,
}

impl PathRef {
    /// A name without a domain.
    pub const fn new(text: String) -> Self {
        Self { text, domain: String::new() }
    }

    /// A name whose slug is on a domain, by ID or hostname; without one, on the default domain.
    ///
    /// # Errors
    /// If the workspace has no such domain.
    pub fn on_domain(
        services: &Services,
        actor: &Actor,
        text: String,
        domain: Option<&str>,
    ) -> Result<Self> {
        let mut name = Self::new(text);
        if let (Some(domain), Ok(LinkRef::Slug(..))) = (domain, name.link()) {
            name.domain = hostname(services, actor.workspace, domain)?.ok_or_else(|| {
                let reason = format!("is not a domain of this workspace: `{domain}`");
                ServiceError::not_found("domain").with_field("domain", reason)
            })?;
        }
        Ok(name)
    }

    /// The link.
    ///
    /// # Errors
    /// If no link can have this name.
    pub fn link(&self) -> Result<LinkRef> {
        match LinkRef::parse(&self.text) {
            Some(LinkRef::Slug(_, slug)) => Ok(LinkRef::Slug(self.domain.clone(), slug)),
            Some(named) => Ok(named),
            None => Err(ServiceError::not_found("link")),
        }
    }

    /// The QR code, unless a link is named.
    pub fn qr_code(&self) -> Option<QrCodeId> {
        self.text.parse().ok()
    }
}

impl FromRequestParts<Services> for PathRef {
    type Rejection = ServiceError;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self> {
        let path = Path::<HashMap<String, String>>::from_request_parts(parts, services).await;
        // Invalid UTF-8 cannot be a name.
        let mut path = path.map_err(|_| ServiceError::not_found("link"))?.0;
        let text = path.remove("link").or_else(|| path.remove("qr_code"));
        let mut name = Self::new(text.ok_or_else(|| ServiceError::not_found("link"))?);
        let mut params = Params::from_request_parts(parts, services).await?;
        if name.qr_code().is_none() && matches!(name.link(), Ok(LinkRef::Slug(..))) {
            if let Some(domain) = params.text("domain") {
                let actor = parts.extensions.get::<Actor>();
                let actor = actor.ok_or_else(|| ServiceError::internal("a route without an actor"));
                name = Self::on_domain(services, actor?, name.text, Some(&domain))?;
            }
        } else {
            // Other names need no domain. Clicks are filtered by it.
            params.ignore("domain");
        }
        parts.extensions.insert(params);
        Ok(name)
    }
}

/// The hostname of a domain of the workspace, by its ID or hostname; empty for the default one.
/// `None` if the workspace has no such domain.
pub fn hostname(services: &Services, workspace: WorkspaceId, name: &str) -> Result<Option<String>> {
    if name.eq_ignore_ascii_case(&services.site.host) {
        return Ok(Some(String::new()));
    }
    let named = DomainRef::parse(name);
    let found = named.map(|named| services.domains.get(workspace, &named)).transpose()?;
    Ok(found.flatten().map(|(domain, _)| domain.hostname.to_string()))
}

/// Adds the parameter `domain` to an operation whose path may have a slug. It filters clicks, too.
pub fn describe(operation: &mut Operation, path: &str) {
    let is_named = path.contains("{link}") || path.contains("{qr_code}");
    if !is_named || path.ends_with("/restore") {
        return;
    }
    let of_slug = "The domain that the slug in the path is on, by ID or hostname; the service's own \
                   by default.";
    let parameters = operation.parameters.get_or_insert_default();
    for parameter in parameters.iter_mut() {
        if let RefOr::T(Parameter { name, description, .. }) = parameter
            && name == "domain"
        {
            *description = Some(format!("{of_slug} With an ID: domains that clicks were on."));
            return;
        }
    }
    let domain = ParameterBuilder::new()
        .name("domain")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(of_slug))
        .schema(Some(Schema::Object(Object::with_type(Type::String))))
        .build();
    parameters.push(RefOr::T(domain));
}
