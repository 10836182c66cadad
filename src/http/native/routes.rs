//! All routes, and their router.

use axum::Router;
use axum::middleware::from_fn_with_state;

use super::route::Route;
use super::{
    admin, analytics, audit, billing, clicks, domains, imports, links, presets, qr_codes, reports,
    sign_in, tokens, user, workspaces,
};
use crate::http::auth::{Access, Requirements, authorize};
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
        // Responses after a timeout state the rate limits too.
        let handler = route.handler.route_layer(limit).route_layer(check);
        for path in route.paths.paths.keys().filter_map(|path| path.strip_prefix(below)) {
            router = router.route(path, handler.clone());
        }
        router
    })
}
