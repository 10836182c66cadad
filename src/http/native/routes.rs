//! All routes, and their router.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::route::Route;
use super::{
    admin, analytics, audit, billing, clicks, domains, imports, links, openapi, presets, qr_codes,
    reports, sign_in, tokens, user, workspaces,
};
use crate::http::auth::{Access, Requirements, authorize};
use crate::http::params::check_names;
use crate::http::{Audience, Services, timeout_of, with_timeout};

/// The routes for an audience.
pub fn of(audience: Audience) -> impl Iterator<Item = Route> {
    let nouns = [
        links::routes(),
        imports::routes(),
        presets::campaigns::routes(),
        presets::utm_templates::routes(),
        domains::routes(),
        qr_codes::routes(),
        analytics::routes(),
        clicks::routes(),
        reports::routes(),
        audit::routes(),
        billing::routes(),
        sign_in::routes(),
        user::routes(),
        workspaces::routes(),
        tokens::routes(),
        admin::routes(),
    ];
    let routes = nouns.into_iter().flat_map(|noun| noun.declared);
    routes.filter(move |route| match audience {
        Audience::All => true,
        Audience::Public => route.access != Access::Operator,
        Audience::Operator => route.access == Access::Operator,
    })
}

/// The router of these routes below a prefix, without it; each with its timeout and access check.
pub fn router(services: &Services, audience: Audience, below: &str) -> Router<Services> {
    of(audience).fold(Router::new(), |mut router, route| {
        let Route { access, feature, class, is_metered, .. } = route;
        let requirements = Requirements { access, feature, class, is_metered, dialect: None };
        let check = from_fn_with_state((services.clone(), requirements), authorize);
        let limit = from_fn_with_state(timeout_of(class), with_timeout);
        let handler = match openapi::query_parameters_of_change(&route.paths) {
            Some(known) => route.handler.route_layer(from_fn_with_state(known, refuse_unknown)),
            None => route.handler,
        };
        // Responses after a timeout state the rate limits too.
        let handler = handler.route_layer(limit).route_layer(check);
        for path in route.paths.paths.keys().filter_map(|path| path.strip_prefix(below)) {
            router = router.route(path, handler.clone());
        }
        router
    })
}

/// Refuses a change with a query parameter that its route does not have. Handlers of `GET` requests
/// that take parameters do so themselves, beside what else is wrong.
async fn refuse_unknown(
    State(known): State<Arc<[String]>>,
    request: Request,
    next: Next,
) -> Response {
    match request.uri().query().map_or(Ok(()), |query| check_names(query, &known)) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}
