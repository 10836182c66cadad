//! Brand defaults of QR codes, of a workspace and of its domains.

use axum::Json;
use axum::response::{IntoResponse, Response};

use super::view::DefaultsView;
use crate::domain::command::{Command, DomainRef};
use crate::domain::domains::Domain;
use crate::domain::error::{Result, ServiceError};
use crate::domain::qr::QrDefaultsInput;
use crate::domain::qr::command::QrCommand;
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::Api;
use crate::http::body::JsonBody;
use crate::http::native::{Changed, Data, log_offset, replayed};
use crate::http::params::Name;
use crate::http::qr_codes::{checks, is_replay, logos};

/// Finds the actor's domain by its id or hostname.
fn domain(services: &Services, actor: &Actor, text: &str) -> Result<Domain> {
    let named = DomainRef::parse(text).ok_or_else(|| ServiceError::not_found("domain"))?;
    let found = services.domains.get(actor.workspace, &named)?;
    Ok(found.ok_or_else(|| ServiceError::not_found("domain"))?.0)
}

/// Retrieves the brand defaults of the workspace.
#[utoipa::path(get, path = "/qr-defaults", responses((status = 200, body = Data<DefaultsView>)))]
pub async fn get(Api { services, actor }: Api) -> Result<Json<Data<DefaultsView>>> {
    let defaults = services.qr.codes.defaults(actor.workspace, None)?;
    Ok(Json(Data { data: defaults.into() }))
}

/// Retrieves the brand defaults of a domain.
#[utoipa::path(
    get, path = "/domains/{domain}/qr-defaults",
    responses((status = 200, body = Data<DefaultsView>)),
)]
pub async fn get_of_domain(
    Api { services, actor }: Api,
    Name(name): Name,
) -> Result<Json<Data<DefaultsView>>> {
    let domain = domain(&services, &actor, &name)?;
    let defaults = services.qr.codes.defaults(actor.workspace, Some(domain.id))?;
    Ok(Json(Data { data: defaults.into() }))
}

/// Replaces the brand defaults of the workspace.
///
/// They are copied into new QR codes; existing ones do not change.
#[utoipa::path(
    put, path = "/qr-defaults", request_body = QrDefaultsInput,
    responses((status = 200, body = Changed<DefaultsView>)),
)]
pub async fn replace(api: Api, body: JsonBody<QrDefaultsInput>) -> Result<Response> {
    write(api, None, body).await
}

/// Replaces the brand defaults of a domain.
///
/// They are copied into new QR codes of links on the domain, and take precedence over those of the
/// workspace.
#[utoipa::path(
    put, path = "/domains/{domain}/qr-defaults", request_body = QrDefaultsInput,
    responses((status = 200, body = Changed<DefaultsView>)),
)]
pub async fn replace_of_domain(
    api: Api,
    Name(name): Name,
    body: JsonBody<QrDefaultsInput>,
) -> Result<Response> {
    let domain = domain(&api.services, &api.actor, &name)?;
    write(api, Some(domain), body).await
}

async fn write(
    Api { services, actor }: Api,
    domain: Option<Domain>,
    body: JsonBody<QrDefaultsInput>,
) -> Result<Response> {
    let (mut input, workspace) = (body.value, actor.workspace);
    let mut new_logo = None;
    if !is_replay(&services, workspace, body.idempotency.as_ref())? {
        let (logo, url) = (&mut input.logo, &mut input.logo_url);
        new_logo = logos::resolve(&services, workspace, logo, url).await?;
        let hostname = domain.as_ref().map(|domain| domain.hostname.as_str());
        checks::check_defaults(&services, workspace, hostname, &input, new_logo.as_ref()).await?;
    }
    let domain = domain.map(|domain| domain.id);
    let command = Command::Qr(QrCommand::SetDefaults(domain.map(DomainRef::Id), input.into()));
    let first = new_logo.map(|logo| logo.store());
    let done = services.commands.run_after(actor, first, command, body.idempotency).await?;
    let defaults = services.qr.codes.defaults(actor.workspace, domain)?;
    let body = Changed::new(DefaultsView::from(defaults), done.offset);
    Ok((log_offset(done.offset), replayed(done.is_replay), Json(body)).into_response())
}
