//! Route declarations. Each says who may call the route and names its handler, whose
//! `#[utoipa::path]` holds the method, the path and the description. The router, the OpenAPI
//! document and the test of the abilities are all made from them.

use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use utoipa::openapi::path::Paths;
use utoipa::openapi::{RefOr, Schema};
use utoipa_axum::router::UtoipaMethodRouter;

use super::{admin, analytics, audit, clicks, domains, imports, links, presets, reports, tokens};
use crate::http::auth::{Access, authorize};
use crate::http::{Audience, LONG_TIMEOUT, REQUEST_TIMEOUT, Services, with_timeout};

/// One operation of the API.
pub struct Route {
    /// The section of the reference that it stands in.
    pub tag: &'static str,
    /// How its `operationId` begins; the handler's name follows.
    pub noun: &'static str,
    /// Who may call it.
    pub access: Access,
    /// Its path with its one operation.
    pub paths: Paths,
    /// The schemas that the operation refers to.
    pub schemas: Vec<(String, RefOr<Schema>)>,
    timeout: Duration,
    handler: MethodRouter<Services>,
}

/// The routes of a noun.
pub struct Routes {
    tag: &'static str,
    noun: &'static str,
    declared: Vec<Route>,
}

impl Routes {
    /// None yet; those that follow have this tag and this noun.
    pub const fn of(tag: &'static str, noun: &'static str) -> Self {
        Self { tag, noun, declared: Vec::new() }
    }

    /// Those that follow have this tag and this noun.
    pub fn then(self, tag: &'static str, noun: &'static str) -> Self {
        Self { tag, noun, ..self }
    }

    /// Adds a route: `.route(Ability::LinksRead, routes!(list))`.
    pub fn route(
        mut self,
        access: impl Into<Access>,
        (schemas, paths, handler): UtoipaMethodRouter<Services>,
    ) -> Self {
        let (tag, noun, access) = (self.tag, self.noun, access.into());
        let timeout = REQUEST_TIMEOUT;
        self.declared.push(Route { tag, noun, access, paths, schemas, timeout, handler });
        self
    }

    /// Gives the last route the timeout of requests that read all clicks, or a large file.
    pub fn long(mut self) -> Self {
        if let Some(route) = self.declared.last_mut() {
            route.timeout = LONG_TIMEOUT;
        }
        self
    }
}

/// The routes for an audience.
pub fn of(audience: Audience) -> impl Iterator<Item = Route> {
    let nouns = [
        links::routes(),
        imports::routes(),
        presets::campaigns::routes(),
        presets::utm_templates::routes(),
        domains::routes(),
        analytics::routes(),
        clicks::routes(),
        reports::routes(),
        audit::routes(),
        tokens::routes(),
        admin::routes(),
    ];
    let routes = nouns.into_iter().flat_map(|noun| noun.declared);
    routes.filter(move |route| match audience {
        Audience::All => true,
        Audience::Public => !route.access.is_for_operators(),
        Audience::Operator => route.access.is_for_operators(),
    })
}

/// The routes, each behind its timeout and its check of the caller.
pub fn router(services: &Services, audience: Audience) -> Router<Services> {
    of(audience).fold(Router::new(), |mut router, route| {
        let check = from_fn_with_state((services.clone(), route.access), authorize);
        let timeout = from_fn_with_state(route.timeout, with_timeout);
        let handler = route.handler.route_layer(check).route_layer(timeout);
        for path in route.paths.paths.into_keys() {
            router = router.route(&path, handler.clone());
        }
        router
    })
}
