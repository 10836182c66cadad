//! The API's own description: OpenAPI 3.1, generated from the handlers, and a page to read it
//! with that loads nothing from outside.

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_SECURITY_POLICY, X_FRAME_OPTIONS};
use axum::middleware::map_response;
use axum::response::Response;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Info, OpenApi, Ref, ResponseBuilder, SecurityRequirement};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{
    admin, analytics, audit, bulk, campaigns, clicks, deleted, domains, exports, external_ids,
    imports, link_export, link_list, links, operator_tokens, reports, rules, tags, tokens,
    utm_templates, versions,
};
use crate::http::Services;

/// What Swagger UI needs: its scripts and styles are files, but for one style that a script inserts;
/// its icons are data.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' \
     'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='; img-src 'self' data:; \
     connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Each path of the API that is for everybody, with what OpenAPI says of it.
pub fn routes() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(links::create, link_list::list))
        .routes(routes!(bulk::create, bulk::change, bulk::delete))
        .routes(routes!(link_export::export))
        .routes(routes!(imports::create, imports::list))
        .routes(routes!(imports::read, imports::delete))
        .routes(routes!(imports::rejects))
        .routes(routes!(imports::warnings))
        .routes(routes!(link_list::count))
        .routes(routes!(external_ids::read, external_ids::upsert))
        .routes(routes!(links::read, links::replace, links::change, links::delete))
        .routes(routes!(tags::tags))
        .routes(routes!(tags::folders))
        .routes(routes!(campaigns::create, campaigns::list))
        .routes(routes!(campaigns::read, campaigns::change, campaigns::delete))
        .routes(routes!(utm_templates::create, utm_templates::list))
        .routes(routes!(utm_templates::read, utm_templates::change, utm_templates::delete))
        .routes(routes!(versions::list))
        .routes(routes!(versions::diff))
        .routes(routes!(versions::revert))
        .routes(routes!(deleted::restore))
        .routes(routes!(audit::list))
        .routes(routes!(analytics::links::clicks))
        .routes(routes!(rules::test))
        .routes(routes!(rules::dry_run))
        .routes(routes!(analytics::blocked::of_link))
        .routes(routes!(analytics::blocked::of_all))
        .routes(routes!(analytics::links::summary))
        .routes(routes!(analytics::links::continents))
        .routes(routes!(analytics::links::countries))
        .routes(routes!(analytics::links::regions))
        .routes(routes!(analytics::links::cities))
        .routes(routes!(analytics::links::devices))
        .routes(routes!(analytics::links::browsers))
        .routes(routes!(analytics::links::operating_systems))
        .routes(routes!(analytics::links::referrers))
        .routes(routes!(analytics::links::languages))
        .routes(routes!(analytics::links::utm))
        .routes(routes!(analytics::overview::overview))
        .routes(routes!(analytics::overview::link_overview))
        .routes(routes!(clicks::list))
        .routes(routes!(clicks::export))
        .routes(routes!(exports::create, exports::list))
        .routes(routes!(exports::read, exports::delete))
        .routes(routes!(exports::download))
        .routes(routes!(analytics::query::ask))
        .routes(routes!(analytics::batch::ask))
        .routes(routes!(reports::list))
        .routes(routes!(reports::resolve))
        .routes(routes!(domains::create, domains::list))
        .routes(routes!(domains::read, domains::change, domains::delete))
        .routes(routes!(domains::verify))
        .routes(routes!(tokens::create, tokens::list))
        .routes(routes!(tokens::revoke))
}

/// What each operation answers to a request whose token is missing or not valid.
fn refusals() -> [(String, utoipa::openapi::Response); 2] {
    let refusal = |description: &str| {
        let schema = Some(Ref::from_schema_name("ProblemBody"));
        let content = ContentBuilder::new().schema(schema).build();
        let response = ResponseBuilder::new().description(description);
        response.content("application/problem+json", content).build()
    };
    [
        ("401".to_owned(), refusal("The token is missing, unknown, revoked or expired")),
        ("429".to_owned(), refusal("Too many requests with unknown tokens came from this address")),
    ]
}

fn add_refusals(document: &mut OpenApi) {
    for path in document.paths.paths.values_mut() {
        let methods =
            [&mut path.get, &mut path.put, &mut path.post, &mut path.delete, &mut path.patch];
        for operation in methods.into_iter().flatten() {
            for (status, response) in refusals() {
                let responses = &mut operation.responses.responses;
                responses.entry(status).or_insert_with(|| response.into());
            }
        }
    }
}

/// The paths for those who run the service.
pub fn operator_routes() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(admin::reconcile))
        .routes(routes!(admin::rebuild, admin::rebuild_state))
        .routes(routes!(admin::reclassify, admin::reclassified))
        .routes(routes!(operator_tokens::create, operator_tokens::list))
        .routes(routes!(operator_tokens::revoke))
}

/// `/openapi.json` and `/docs`, under the API's own prefix.
pub fn document(mut document: OpenApi) -> Router<Services> {
    document.info = Info::new("slugline", env!("CARGO_PKG_VERSION"));
    document.info.description = Some(
        "Short links and their analytics. Answers stand in `data`; errors are \
         `application/problem+json` (RFC 9457)."
            .to_owned(),
    );
    document.servers = Some(vec![utoipa::openapi::Server::new("/api/v1")]);
    add_refusals(&mut document);
    let components = document.components.get_or_insert_default();
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")));
    components.add_security_scheme("bearer", bearer);
    components.add_security_scheme("key", key);
    let none: [&str; 0] = [];
    document.security =
        Some(vec![SecurityRequirement::new("bearer", none), SecurityRequirement::new("key", none)]);
    // The validator is a service elsewhere, to which the page would show the document's address.
    let config = utoipa_swagger_ui::Config::from("/api/v1/openapi.json").validator_url("none");
    let page = utoipa_swagger_ui::SwaggerUi::new("/docs").url("/openapi.json", document);
    Router::from(page.config(config)).layer(map_response(contained))
}

/// The page loads and asks nothing but this service, and stands in no frame.
async fn contained(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}
