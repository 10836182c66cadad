//! The API's OpenAPI 3.1 document, generated from the route declarations, and Swagger UI, which
//! loads no external resources.
//!
//! What operations have in common is added here: operation ids, path parameters, and the responses
//! that follow from an operation's method, body and parameters.

mod parameters;

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_SECURITY_POLICY, LOCATION, X_FRAME_OPTIONS};
use axum::middleware::map_response;
use axum::response::Response as HttpResponse;
use serde_json::Value;
use utoipa::PartialSchema;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::header::Header;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::{ArrayItems, Object, Schema, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::tag::Tag;
use utoipa::openapi::{
    Components, Content, HttpMethod, Info, License, OpenApi, Paths, Ref, RefOr,
    SecurityRequirement, Server,
};

pub use parameters::query_parameters_of_change;
use parameters::{add_parameters, add_workspace, has_parameter, share_parameters};

use super::route::Route;
use super::routes;
use crate::domain::token::Ability;
use crate::http::auth::Access;
use crate::http::problem::{Problem, RecommendedPlan};
use crate::http::rate_limit::usage::HEADERS;
use crate::http::{Audience, Services};

/// Allows what Swagger UI needs: scripts and styles from files, one inline style that a script
/// inserts, and icons as data URLs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' \
     'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='; img-src 'self' data:; \
     connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

const DESCRIPTION: &str = "Short links and their analytics.\n\nSuccessful responses hold their \
     result in `data`. Errors are `application/problem+json` (RFC 9457): `code` tells programs what \
     went wrong, `detail` tells people.\n\nIf the plan of the workspace has rate limits, responses \
     to requests with a credential state them in `X-RateLimit-*` and `RateLimit`.";

const TAGS: [(&str, &str); 15] = [
    ("links", "Short links: where they lead, to whom, and for how long."),
    ("history", "Versions of links, deleted links, and the audit log."),
    ("billing", "Plans, and what the workspace has used of its own."),
    ("imports", "Links from files, including exports of other link services."),
    ("campaigns", "Campaigns that links belong to."),
    ("utm-templates", "Named sets of UTM parameters to create links from."),
    ("domains", "The workspace's own domains."),
    ("qr-codes", "QR codes of links, their images and logos, and brand defaults."),
    ("analytics", "Clicks: counted, listed and exported."),
    ("reports", "Abuse reports from visitors."),
    ("auth", "Signing in, by a cookie or a JWT, and signing up."),
    ("user", "The caller's account, sessions and second factor."),
    ("workspaces", "Workspaces, their members and invitations."),
    ("tokens", "API tokens and their abilities."),
    ("admin", "Operation of the service."),
];

/// Shared responses: component, status, description.
const RESPONSES: [(&str, &str, &str); 16] = [
    ("BadRequest", "400", "The request is not valid; `errors` lists what is wrong by field."),
    ("Unauthorized", "401", "The credential is missing, unknown, revoked or expired."),
    ("PaymentRequired", "402", "A limit of the workspace's plan is reached; `limit` names it."),
    ("Forbidden", "403", "The caller lacks the required ability, or used plain HTTP."),
    ("NotFound", "404", "There is no such resource in this workspace, or no such workspace."),
    ("RequestTimeout", "408", "The request took too long."),
    ("Conflict", "409", "A name is taken, or the present state does not allow the change."),
    ("PreconditionFailed", "412", "The resource is not at the version named by `If-Match`."),
    ("PayloadTooLarge", "413", "The request body is too large."),
    ("UnsupportedMediaType", "415", "The request body is not `application/json`."),
    ("IdempotencyKeyReused", "422", "The idempotency key was used with another request."),
    ("QueryTooCostly", "422", "The query is too costly; `detail` says how to narrow it."),
    ("TooManyRequests", "429", "Too many requests: of this caller, or from this address."),
    ("Unavailable", "503", "The service is overloaded, or analytics are unavailable; retry later."),
    ("AnalyticsBehind", "504", "`min_offset` was not counted within 10 seconds."),
    ("InsufficientStorage", "507", "The disk is full: nothing can be changed."),
];

const PROBLEM: &str = "application/problem+json";

/// Generates the document for an audience.
pub fn document(audience: Audience) -> OpenApi {
    let mut info = Info::new("slugline", env!("CARGO_PKG_VERSION"));
    info.description = Some(DESCRIPTION.to_owned());
    let mut license = License::new("MIT or Apache 2.0");
    license.identifier = Some(env!("CARGO_PKG_LICENSE").to_owned());
    info.license = Some(license);
    let mut document = OpenApi::new(info, Paths::new());
    document.servers = Some(vec![Server::new("/api/v1")]);
    let none: [&str; 0] = [];
    document.security =
        Some(["bearer", "key", "session"].map(|name| SecurityRequirement::new(name, none)).into());
    let mut components = components();
    let mut used = BTreeSet::new();
    for mut route in routes::of(audience) {
        used.insert(route.tag);
        let mut paths = std::mem::take(&mut route.paths);
        for (path, item) in &mut paths.paths {
            for (method, operation) in operations(item) {
                describe(operation, &method, path, &route);
            }
        }
        components.schemas.extend(route.schemas);
        document.paths.merge(paths);
    }
    let tags = TAGS.iter().filter(|(name, _)| used.contains(name)).map(|(name, description)| {
        let mut tag = Tag::new(name);
        tag.description = Some((*description).to_owned());
        tag
    });
    document.tags = Some(tags.collect());
    components.parameters = share_parameters(&mut document.paths);
    let known = components.schemas.clone();
    for schema in components.schemas.values_mut() {
        tidy(schema, &known);
    }
    document.components = Some(components);
    document
}

/// The shared components that operations refer to.
fn components() -> Components {
    let mut components = Components::new();
    components.schemas.insert("Problem".to_owned(), Problem::schema());
    let recommended = RecommendedPlan::schema();
    components.schemas.insert("RecommendedPlan".to_owned(), recommended);
    for (name, status, description) in RESPONSES {
        let mut response = Response::new(description);
        response.content.insert(PROBLEM.to_owned(), problem());
        if status == "429" {
            state_rate_limits(&mut response);
        }
        state_retry(status, &mut response);
        components.responses.insert(name.to_owned(), response.into());
    }
    for (name, is_number, description) in HEADERS {
        let kind = if is_number { Type::Integer } else { Type::String };
        let mut header = Header::new(Object::with_type(kind));
        header.description = Some(description.to_owned());
        components.headers.insert(name.to_owned(), header.into());
    }
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.description =
        Some("`Authorization: Bearer <token>`: an API token, or a JWT.".to_owned());
    let key = ApiKeyValue::with_description("X-API-Key", "The token, in a header of its own.");
    let session = ApiKeyValue::with_description(
        "__Host-session",
        "The cookie of `POST /auth/login`, named `session` over plain HTTP. Changes also need the \
         session's `csrf_token` as `X-CSRF-Token`.",
    );
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(session)));
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    components.add_security_scheme("key", SecurityScheme::ApiKey(ApiKey::Header(key)));
    components
}

/// Adds the header with the time of a retry, if a status has it.
fn state_retry(status: &str, response: &mut Response) {
    if matches!(status, "429" | "503") {
        let mut seconds = Header::new(Object::with_type(Type::Integer));
        seconds.description = Some("Seconds to wait before a retry.".to_owned());
        response.headers.insert("Retry-After".to_owned(), seconds.into());
    }
}

/// Adds the headers with rate limits to a response.
fn state_rate_limits(response: &mut Response) {
    let header = |name: &str| RefOr::Ref(Ref::new(format!("#/components/headers/{name}")));
    response.headers.extend(HEADERS.map(|(name, ..)| (name.to_owned(), header(name))));
}

fn problem() -> RefOr<Content> {
    RefOr::T(Content::new(Some(Ref::from_schema_name("Problem"))))
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let each = [
        (HttpMethod::Get, get),
        (HttpMethod::Put, put),
        (HttpMethod::Post, post),
        (HttpMethod::Delete, delete),
        (HttpMethod::Patch, patch),
    ];
    each.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Completes the declaration of an operation.
fn describe(operation: &mut Operation, method: &HttpMethod, path: &str, route: &Route) {
    let handler = operation.operation_id.take().unwrap_or_default();
    operation.operation_id = Some(format!("{}_{handler}", route.noun));
    operation.tags = Some(vec![route.tag.to_owned()]);
    let ability = route.access.as_str();
    operation.extensions = Some(ExtensionsBuilder::new().add("x-ability", ability).build());
    let needs = match route.access {
        Access::Public => "Requires no credential.".to_owned(),
        Access::SignedIn => "Requires a signed-in user: a JWT, or the session's cookie.".to_owned(),
        Access::Ability(_) => format!("Requires the ability `{ability}`."),
        Access::Operator => "Requires the operator's key, or a signed-in superadmin.".to_owned(),
    };
    operation.description = Some(match operation.description.take() {
        Some(description) => format!("{description}\n\n{needs}"),
        None => needs,
    });
    let is_change = *method != HttpMethod::Get && !ability.ends_with(":read");
    let has_key = is_change && route.takes_idempotency_key && operation.request_body.is_some();
    add_parameters(operation, path, has_key);
    match route.access {
        Access::Public => operation.security = Some(Vec::new()),
        Access::Ability(_) | Access::SignedIn => add_workspace(operation),
        Access::Operator => {}
    }
    let is_query = route.access == Access::Ability(Ability::AnalyticsRead)
        && (operation.request_body.is_some() || has_parameter(operation, "min_offset"));
    let has_json = match &operation.request_body {
        Some(RefOr::T(body)) => body.content.contains_key("application/json"),
        _ => false,
    };
    let has_body = operation.request_body.is_some();
    let is_of_workspace = matches!(route.access, Access::Ability(_) | Access::SignedIn);
    let shared = [
        ("Unauthorized", route.access != Access::Public),
        ("PaymentRequired", route.is_metered && is_of_workspace),
        ("Forbidden", true),
        ("TooManyRequests", true),
        // At the least, the host may be invalid.
        ("BadRequest", true),
        ("NotFound", path.contains('{') || is_of_workspace),
        ("RequestTimeout", true),
        ("Conflict", is_change),
        ("PreconditionFailed", has_parameter(operation, "If-Match")),
        ("PayloadTooLarge", has_body),
        ("UnsupportedMediaType", has_json),
        ("IdempotencyKeyReused", has_key),
        ("QueryTooCostly", is_query),
        ("Unavailable", is_change || is_query),
        ("AnalyticsBehind", is_query),
        ("InsufficientStorage", is_change),
    ];
    let shared = shared.into_iter().filter_map(|(name, applies)| applies.then_some(name));
    add_responses(operation, shared, route.access != Access::Public);
}

/// Describes responses without a description, adds the body of problems and the headers with rate
/// limits, and adds the shared responses that the handler does not declare.
fn add_responses(
    operation: &mut Operation,
    shared: impl Iterator<Item = &'static str>,
    is_limited: bool,
) {
    let responses = &mut operation.responses.responses;
    for (status, response) in responses.iter_mut() {
        let RefOr::T(response) = response else { continue };
        if response.description.is_empty() {
            let description = match status.as_str() {
                "201" => "Created.",
                "202" => "Accepted; the work continues in the background.",
                "204" => "Deleted.",
                _ => "The request succeeded.",
            };
            description.clone_into(&mut response.description);
        }
        if status.as_str() >= "400" {
            response.content.insert(PROBLEM.to_owned(), problem());
        }
        state_retry(status, response);
        if is_limited {
            state_rate_limits(response);
        }
    }
    for name in shared {
        let status = RESPONSES.iter().find(|(shared, ..)| *shared == name);
        let Some((_, status, _)) = status else { continue };
        let response = || Ref::from_response_name(name).into();
        responses.entry((*status).to_owned()).or_insert_with(response);
    }
}

/// Replaces inlined copies of known schemas in `data` and in arrays by references, and removes
/// empty defaults and those of required fields.
fn tidy(schema: &mut RefOr<Schema>, known: &BTreeMap<String, RefOr<Schema>>) {
    let RefOr::T(Schema::Object(object)) = schema else { return };
    for (name, property) in &mut object.properties {
        let is_required = object.required.contains(name);
        if let RefOr::T(Schema::Array(list)) = property
            && let ArrayItems::RefOrSchema(item) = &mut list.items
        {
            refer(item, known);
        } else if name == "data" {
            refer(property, known);
        }
        let default = match property {
            RefOr::T(Schema::Object(object)) => &mut object.default,
            RefOr::T(Schema::Array(list)) => &mut list.default,
            RefOr::T(Schema::OneOf(one_of)) => &mut one_of.default,
            RefOr::T(_) => continue,
            RefOr::Ref(named) => &mut named.default,
        };
        let says_nothing = |value: &Value| value.is_null() || value == "";
        if is_required || default.as_ref().is_some_and(says_nothing) {
            *default = None;
        }
    }
}

fn refer(schema: &mut RefOr<Schema>, known: &BTreeMap<String, RefOr<Schema>>) {
    if !matches!(schema, RefOr::T(Schema::Object(object)) if !object.properties.is_empty()) {
        return;
    }
    if let Some((name, _)) = known.iter().find(|(_, one)| *one == schema) {
        *schema = RefOr::Ref(Ref::from_schema_name(name));
    }
}

/// `/openapi.json` and `/docs`, below the API's prefix.
pub fn reference(audience: Audience) -> Router<Services> {
    // The validator is an external service, to which the page would send the document's URL.
    let config = utoipa_swagger_ui::Config::from("/api/v1/openapi.json").validator_url("none");
    let page = utoipa_swagger_ui::SwaggerUi::new("/docs").url("/openapi.json", document(audience));
    Router::from(page.config(config)).layer(map_response(contained))
}

/// Restricts the page to requests to this service, and forbids framing it.
async fn contained(mut response: HttpResponse) -> HttpResponse {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // The redirect to the page lacks the API's prefix.
    if let Some(location) = headers.get_mut(LOCATION) {
        *location = HeaderValue::from_static("/api/v1/docs/");
    }
    response
}
