//! `/api/v1/domains`

use axum::Json;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::page::{CursorParams, Page, PageMeta, PageParam};
use super::route::Routes;
use super::{Changed, Data, iso8601, log_offset, replayed};
use crate::commands::CommandResult;
use crate::domain::command::{Command, DomainRef, Outcome};
use crate::domain::domains::{Domain, DomainInput};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::ids::DomainId;
use crate::domain::token::Ability::{LinksRead, LinksWrite};
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::Api;
use crate::http::body::JsonBody;
use crate::http::domain_verifier::VerificationFailed;
use crate::http::params::{Name, Params};
use crate::queries::domains::DomainsPart;

pub fn routes() -> Routes {
    Routes::of("domains", "domains")
        .route(LinksWrite, routes!(create))
        .route(LinksRead, routes!(list))
        .route(LinksRead, routes!(get))
        .route(LinksWrite, routes!(update))
        .route(LinksWrite, routes!(delete))
        .route(LinksWrite, routes!(verify))
}

/// A domain.
#[derive(Debug, Serialize, ToSchema)]
pub struct DomainView {
    #[schema(example = "dom_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    id: String,
    #[schema(example = "go.example.com")]
    hostname: String,
    /// Null until ownership is verified.
    #[schema(format = DateTime)]
    verified_at: Option<String>,
    /// How to verify ownership; null once verified.
    verification: Option<VerificationView>,
    is_default: bool,
    root_redirect: Option<String>,
    not_found_redirect: Option<String>,
    case_insensitive: bool,
    #[schema(value_type = Option<Object>)]
    apple_app_site_association: Option<Value>,
    #[schema(value_type = Option<Vec<Object>>)]
    assetlinks: Option<Value>,
    /// The number of links on the domain.
    links: u64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// Two ways to prove ownership of a domain; either is enough.
#[derive(Debug, Serialize, ToSchema)]
pub struct VerificationView {
    /// The name of a TXT record that has to hold `value`; null if the host is an IP address.
    #[schema(example = "_slugline.go.example.com")]
    txt_name: Option<String>,
    /// The URL (http or https) of a file that has to hold `value` on a line of its own. If the host
    /// already points to this service and no other workspace claims it, the service serves it.
    file: String,
    #[schema(example = "slugline-verify=0123456789abcdef0123456789abcdef")]
    value: String,
}

impl DomainView {
    fn new(domain: Domain, links: u64) -> Self {
        let verification = domain.verified_at_ms.is_none().then(|| VerificationView {
            txt_name: Domain::proof_name(&domain.hostname),
            file: format!("http://{}{}", domain.hostname, Domain::PROOF_PATH),
            value: domain.proof(),
        });
        let fields = domain.fields;
        let document =
            |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
        Self {
            id: domain.id.to_string(),
            hostname: domain.hostname.to_string(),
            verified_at: domain.verified_at_ms.map(iso8601),
            verification,
            is_default: domain.is_default,
            root_redirect: fields.root_redirect.map(|to| to.as_str().to_owned()),
            not_found_redirect: fields.not_found_redirect.map(|to| to.as_str().to_owned()),
            case_insensitive: fields.case_insensitive,
            apple_app_site_association: document(fields.apple_app_site_association),
            assetlinks: document(fields.assetlinks),
            links,
            created_at: iso8601(domain.created_at_ms),
            updated_at: iso8601(domain.updated_at_ms),
        }
    }
}

/// A page of domains.
#[derive(Debug, Serialize, ToSchema)]
pub struct DomainPage {
    data: Vec<DomainView>,
    meta: PageMeta,
}

fn named(text: &str) -> Result<DomainRef> {
    DomainRef::parse(text).ok_or_else(|| ServiceError::not_found("domain"))
}

fn find(services: &Services, actor: &Actor, text: &str) -> Result<(Domain, u64)> {
    let domain = services.domains.get(actor.workspace, &named(text)?)?;
    domain.ok_or_else(|| ServiceError::not_found("domain"))
}

/// The response to a change.
fn changed(services: &Services, status: StatusCode, done: CommandResult) -> Result<Response> {
    let (offset, is_replay) = (done.offset, done.is_replay);
    let domain = match done.outcome {
        Outcome::Domain(domain) => *domain,
        other => {
            return Err(ServiceError::internal(format!("a domain was expected, not {other:?}")));
        }
    };
    let links = services.domains.links_on(&domain)?;
    let body = Changed::new(DomainView::new(domain, links), offset);
    Ok((status, log_offset(offset), replayed(is_replay), Json(body)).into_response())
}

/// Adds a domain.
///
/// Links can use it once it is verified.
#[utoipa::path(
    post, path = "/domains", request_body = DomainInput,
    responses(
        (status = 201, body = Changed<DomainView>),
        (status = 409, description = "The workspace already has this domain."),
    ),
)]
pub async fn create(Api { services, actor }: Api, body: JsonBody<DomainInput>) -> Result<Response> {
    let command = Command::AddDomain(body.value);
    let done = services.commands.run(actor, command, body.idempotency).await?;
    let location = match &done.outcome {
        Outcome::Domain(domain) => HeaderValue::try_from(format!("/api/v1/domains/{}", domain.id)),
        _ => return Err(ServiceError::internal("a domain was expected")),
    };
    let mut response = changed(&services, StatusCode::CREATED, done)?;
    if let Ok(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// Lists domains, newest first.
#[utoipa::path(
    get, path = "/domains",
    params(PageParam, CursorParams),
    responses((status = 200, body = DomainPage)),
)]
pub async fn list(Api { services, actor }: Api, mut params: Params) -> Result<Json<DomainPage>> {
    let page = Page::take(&mut params);
    let cursor = page.take_cursor(&mut params, |text| text.parse::<DomainId>().ok());
    params.finish()?;
    let part = cursor.map_or(DomainsPart::Page(page.number()), DomainsPart::Before);
    let list = services.domains.list(actor.workspace, part, page.size())?;
    let next_cursor = list.next.map(|id| id.to_string());
    let data = list.domains.into_iter().map(|(domain, links)| DomainView::new(domain, links));
    let meta = page.meta_after(cursor.is_some(), Some(list.total), next_cursor);
    Ok(Json(DomainPage { data: data.collect(), meta }))
}

/// Retrieves a domain.
#[utoipa::path(get, path = "/domains/{domain}", responses((status = 200, body = Data<DomainView>)))]
pub async fn get(Api { services, actor }: Api, Name(name): Name) -> Result<Json<Data<DomainView>>> {
    let (domain, links) = find(&services, &actor, &name)?;
    Ok(Json(Data { data: DomainView::new(domain, links) }))
}

/// Updates a domain.
///
/// Fields that the request omits keep their values.
#[utoipa::path(
    patch, path = "/domains/{domain}", request_body = DomainInput,
    responses(
        (status = 200, body = Changed<DomainView>),
        (status = 409, description = "`case_insensitive` cannot be changed while the domain has links."),
    ),
)]
pub async fn update(
    Api { services, actor }: Api,
    Name(name): Name,
    body: JsonBody<DomainInput>,
) -> Result<Response> {
    let command = Command::ChangeDomain(named(&name)?, body.value);
    let done = services.commands.run(actor, command, body.idempotency).await?;
    changed(&services, StatusCode::OK, done)
}

/// Verifies a domain.
///
/// Looks for the proof of ownership in DNS and on the host.
#[utoipa::path(
    post, path = "/domains/{domain}/verify",
    responses(
        (status = 200, body = Changed<DomainView>),
        (status = 409, description = "Another workspace has verified the domain."),
        (status = 422, description = "The proof was not found; `errors` lists what was found in each place."),
    ),
)]
pub async fn verify(Api { services, actor }: Api, Name(name): Name) -> Result<Response> {
    let (domain, _) = find(&services, &actor, &name)?;
    if domain.verified_at_ms.is_none() {
        services.domain_verifier.verify(&domain).await.map_err(verification_problem)?;
    }
    let command = Command::VerifyDomain(domain.id, domain.challenge);
    let done = services.commands.run(actor, command, None).await?;
    changed(&services, StatusCode::OK, done)
}

fn verification_problem(why: VerificationFailed) -> ServiceError {
    match why {
        VerificationFailed::Busy => ServiceError::unavailable(
            ErrorCode::Overloaded,
            "Too many domains are being verified; please try again.",
        ),
        VerificationFailed::NotVerified(places) => {
            let detail = "The domain does not show its proof yet, neither by a TXT record nor by a \
                          file.";
            let problem = ServiceError::new(ErrorCode::VerificationFailed, detail);
            places.into_iter().fold(problem, |problem, (place, why)| problem.with_field(place, why))
        }
    }
}

/// Removes a domain that no link uses.
#[utoipa::path(
    delete, path = "/domains/{domain}",
    responses((status = 204), (status = 409, description = "The domain has links.")),
)]
pub async fn delete(Api { services, actor }: Api, Name(name): Name) -> Result<Response> {
    let done = services.commands.run(actor, Command::RemoveDomain(named(&name)?), None).await?;
    Ok((StatusCode::NO_CONTENT, log_offset(done.offset)).into_response())
}
