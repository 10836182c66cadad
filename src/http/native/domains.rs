//! `/api/v1/domains`

use axum::Json;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::page::{Page, PageMeta};
use super::{Changed, Data, iso8601, log_offset, replayed};
use crate::commands::Done;
use crate::domain::command::{Command, DomainRef, Outcome};
use crate::domain::domains::{Domain, DomainInput};
use crate::domain::ids::DomainId;
use crate::domain::link::Field;
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::{Can, LinksRead, LinksWrite};
use crate::http::body::JsonBody;
use crate::http::params::{Name, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::proof::Unproven;
use crate::queries::domains::DomainsPart;

/// What a domain is asked to be. A field that is null is cleared; one that is absent is left to
/// its default (POST) or as it is (PATCH).
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainBody {
    /// The host, such as `go.example.com`; any script (IDNA). Stays as it is. A port may stand
    /// after local names alone (`localhost`, `*.localhost`, `*.test`, loopback addresses).
    #[serde(default)]
    #[schema(value_type = String, example = "go.example.com")]
    hostname: Field<String>,
    /// Whether links that name no domain are on it: one of the workspace's at most, and only once
    /// it is verified.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    is_default: Field<bool>,
    /// Where `/` of the host leads.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "https://example.com")]
    root_redirect: Field<String>,
    /// Where a path of the host leads that is no link's.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    not_found_redirect: Field<String>,
    /// Whether `Promo` and `promo` are one slug; changed only while no links are on the domain.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    case_insensitive: Field<bool>,
    /// A JSON object, served at `/.well-known/apple-app-site-association`; at most 128 KiB.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    apple_app_site_association: Field<Value>,
    /// A JSON array, served at `/.well-known/assetlinks.json`; at most 128 KiB.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    assetlinks: Field<Value>,
}

impl From<DomainBody> for DomainInput {
    fn from(body: DomainBody) -> Self {
        Self {
            hostname: body.hostname,
            is_default: body.is_default,
            root_redirect: body.root_redirect,
            not_found_redirect: body.not_found_redirect,
            case_insensitive: body.case_insensitive,
            apple_app_site_association: body.apple_app_site_association,
            assetlinks: body.assetlinks,
        }
    }
}

/// A domain.
#[derive(Debug, Serialize, ToSchema)]
pub struct DomainView {
    #[schema(example = "dom_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    id: String,
    hostname: String,
    /// Null until its owner has shown that it is his.
    verified_at: Option<String>,
    /// What to do for that; null once it is done.
    verification: Option<VerificationView>,
    is_default: bool,
    root_redirect: Option<String>,
    not_found_redirect: Option<String>,
    case_insensitive: bool,
    #[schema(value_type = Option<Object>)]
    apple_app_site_association: Option<Value>,
    #[schema(value_type = Option<Vec<Object>>)]
    assetlinks: Option<Value>,
    /// How many links are on it.
    links: u64,
    created_at: String,
    updated_at: String,
}

/// How to show that a domain is one's own: one of the two.
#[derive(Debug, Serialize, ToSchema)]
pub struct VerificationView {
    /// The name of a TXT record with the text `value`; null where the host is an address.
    #[schema(example = "_slugline.go.example.com")]
    txt_name: Option<String>,
    /// The address, http or https, of a file with `value` on a line of its own. Where the host
    /// leads to this service already and no other workspace claims it, the service shows it.
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

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct DomainPage {
    data: Vec<DomainView>,
    meta: PageMeta,
}

fn named(text: &str) -> Result<DomainRef, Problem> {
    DomainRef::parse(text).ok_or_else(|| Problem::not_found("domain"))
}

fn find(services: &Services, actor: &Actor, text: &str) -> Result<(Domain, u64), Problem> {
    let domain = services.domains.get(actor.workspace, &named(text)?)?;
    domain.ok_or_else(|| Problem::not_found("domain"))
}

/// The answer to a change.
fn changed(services: &Services, status: StatusCode, done: Done) -> Result<Response, Problem> {
    let (offset, is_replay) = (done.offset, done.is_replay);
    let domain = match done.outcome {
        Outcome::Domain(domain) => *domain,
        other => return Err(Problem::internal(format!("a domain was expected, not {other:?}"))),
    };
    let links = services.domains.links_on(&domain)?;
    let body = Changed::new(DomainView::new(domain, links), offset);
    Ok((status, log_offset(offset), replayed(is_replay), Json(body)).into_response())
}

/// Add a domain. Links can be on it once it is verified.
#[utoipa::path(
    post, path = "/domains", tag = "domains", request_body = DomainBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repeated request the same request, for 24 hours")),
    responses(
        (status = 201, body = Changed<DomainView>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The workspace has it already", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    State(services): State<Services>,
    actor: Can<LinksWrite>,
    body: JsonBody<DomainBody>,
) -> Result<Response, Problem> {
    let command = Command::AddDomain(body.value.into());
    let done = services.commands.run(*actor, command, body.idempotency).await?;
    let location = match &done.outcome {
        Outcome::Domain(domain) => HeaderValue::try_from(format!("/api/v1/domains/{}", domain.id)),
        _ => return Err(Problem::internal("a domain was expected")),
    };
    let mut response = changed(&services, StatusCode::CREATED, done)?;
    if let Ok(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// List domains, newest first.
#[utoipa::path(
    get, path = "/domains", tag = "domains",
    params(
        ("page" = Option<u64>, Query, description = "1-indexed; 1 when absent"),
        ("limit" = Option<u64>, Query, description = "1 to 100; 20 when absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the answer before, instead of a page"),
    ),
    responses((status = 200, body = DomainPage))
)]
pub async fn list(
    State(services): State<Services>,
    actor: Can<LinksRead>,
    mut params: Params,
) -> Result<Json<DomainPage>, Problem> {
    let asked = Page::take(&mut params);
    let cursor = params.text("cursor").map(|text| text.parse::<DomainId>());
    if matches!(cursor, Some(Err(_))) {
        params.refuse("cursor", "is not the next_cursor of an answer");
    }
    if cursor.is_some() && asked.page.is_some() {
        params.refuse("cursor", "can't be combined with page");
    }
    params.finish()?;
    let part = match cursor {
        Some(Ok(id)) => DomainsPart::Before(id),
        _ => DomainsPart::Page(asked.number()),
    };
    let is_page = matches!(part, DomainsPart::Page(_));
    let list = services.domains.list(actor.workspace, part, asked.size())?;
    let next_cursor = list.next.map(|id| id.to_string());
    let data = list.domains.into_iter().map(|(domain, links)| DomainView::new(domain, links));
    let page = is_page.then(|| asked.page.unwrap_or(1));
    let meta = PageMeta { page, limit: asked.limit, total: Some(list.total), next_cursor };
    Ok(Json(DomainPage { data: data.collect(), meta }))
}

/// See a domain.
#[utoipa::path(
    get, path = "/domains/{domain}", tag = "domains",
    params(("domain" = String, Path, description = "The domain's id or hostname")),
    responses((status = 200, body = Data<DomainView>), (status = 404, body = ProblemBody, content_type = "application/problem+json"))
)]
pub async fn read(
    State(services): State<Services>,
    actor: Can<LinksRead>,
    Name(name): Name,
) -> Result<Json<Data<DomainView>>, Problem> {
    let (domain, links) = find(&services, &actor, &name)?;
    Ok(Json(Data { data: DomainView::new(domain, links) }))
}

/// Change some settings of a domain.
#[utoipa::path(
    patch, path = "/domains/{domain}", tag = "domains", request_body = DomainBody,
    params(("domain" = String, Path, description = "The domain's id or hostname")),
    responses(
        (status = 200, body = Changed<DomainView>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`case_insensitive` while links are on it", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    State(services): State<Services>,
    actor: Can<LinksWrite>,
    Name(name): Name,
    body: JsonBody<DomainBody>,
) -> Result<Response, Problem> {
    let command = Command::ChangeDomain(named(&name)?, body.value.into());
    let done = services.commands.run(*actor, command, body.idempotency).await?;
    changed(&services, StatusCode::OK, done)
}

/// Verify a domain: its owner's proof is looked for in the DNS and on the host.
#[utoipa::path(
    post, path = "/domains/{domain}/verify", tag = "domains",
    params(("domain" = String, Path, description = "The domain's id or hostname")),
    responses(
        (status = 200, body = Changed<DomainView>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Another workspace has it verified", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The proof was not found; `errors` says what was found at each place", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn verify(
    State(services): State<Services>,
    actor: Can<LinksWrite>,
    Name(name): Name,
) -> Result<Response, Problem> {
    let (domain, _) = find(&services, &actor, &name)?;
    if domain.verified_at_ms.is_none() {
        services.prover.prove(&domain).await.map_err(unproven)?;
    }
    let command = Command::VerifyDomain(domain.id, domain.challenge);
    let done = services.commands.run(*actor, command, None).await?;
    changed(&services, StatusCode::OK, done)
}

fn unproven(why: Unproven) -> Problem {
    match why {
        Unproven::Busy => Problem::unavailable(
            "OVERLOADED",
            "Too many domains are being verified; please try again.",
        ),
        Unproven::Refuted(places) => {
            let detail = "The domain does not show its proof yet, neither by a TXT record nor by a \
                          file.";
            let problem =
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "VERIFICATION_FAILED", detail);
            places.into_iter().fold(problem, |problem, (place, why)| problem.naming(place, why))
        }
    }
}

/// Remove a domain. No links may be on it.
#[utoipa::path(
    delete, path = "/domains/{domain}", tag = "domains",
    params(("domain" = String, Path, description = "The domain's id or hostname")),
    responses(
        (status = 204),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Links are on it", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn delete(
    State(services): State<Services>,
    actor: Can<LinksWrite>,
    Name(name): Name,
) -> Result<Response, Problem> {
    let done = services.commands.run(*actor, Command::RemoveDomain(named(&name)?), None).await?;
    Ok((StatusCode::NO_CONTENT, log_offset(done.offset)).into_response())
}
