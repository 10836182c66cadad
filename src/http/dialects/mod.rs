//! Dialects: the wire formats of other products, below `/compat/<name>`. Clients of those products
//! work after a change of their base URL.
//!
//! A request of a dialect becomes a command or a query of the core, and its result is rendered in
//! the dialect's form. Each dialect has a folder: `mod.rs` (routes, and what the product's documents
//! leave open), `request.rs`, `response.rs` and `error.rs`. They share:
//!
//! - [`route`] – route declarations;
//! - [`fields`] – the fields of a request's body;
//! - [`links`], [`qr_codes`] and [`clicks`] – commands and queries;
//! - [`hosts`] – hosts of their own;
//! - [`time`] – times in the format of a product;
//! - [`messages`] – statuses and messages that products share.
//!
//! No dialect uses another one. A new one is a folder, and a line of [`DIALECTS`].

mod clicks;
mod fields;
mod hosts;
mod links;
mod linktj;
mod lynklens;
mod messages;
mod qklnk;
mod qr_codes;
mod route;
mod shortlink;
mod time;
mod yourls;

use std::pin::Pin;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use tower::Layer;
use tower_http::catch_panic::CatchPanicLayer;

pub use hosts::{DialectHosts, to_dialect};

use crate::domain::error::ServiceError;
use crate::domain::plan::rate::RateLimit;
use crate::http::auth::{Requirements, authorize};
use crate::http::{Services, not_stored, on_panic, postman, timeout_of, with_timeout};
use route::Route;

/// The wire format of a product.
pub struct Dialect {
    /// Its name in paths.
    pub name: &'static str,
    /// The name of the product.
    pub product: &'static str,
    /// What the paths of its routes begin with, each of them.
    pub bases: &'static [&'static str],
    /// Its routes.
    pub routes: fn() -> Vec<Route>,
    /// Adapts requests before they are routed, and their responses; `None` for HTTP as it is.
    pub adapt: Option<Adapt>,
    /// Renders an error.
    pub render_error: fn(&ServiceError) -> (StatusCode, serde_json::Value),
    /// The documented limit of requests, which applies if the workspace's plan has none.
    pub rate: Option<RateLimit>,
}

/// What adapts requests and responses of a dialect whose paths and headers do not say everything.
pub type Adapt = fn(Request, Next) -> Pin<Box<dyn Future<Output = Response> + Send>>;

/// All dialects.
pub const DIALECTS: &[&Dialect] =
    &[&qklnk::DIALECT, &lynklens::DIALECT, &shortlink::DIALECT, &linktj::DIALECT, &yourls::DIALECT];

/// Where dialects are.
const ROOT: &str = "/compat";

/// The dialect that a path belongs to.
pub fn of_path(path: &str) -> Option<&'static Dialect> {
    named(path.strip_prefix(ROOT)?.strip_prefix('/')?.split('/').next()?)
}

/// The dialect with a name.
fn named(name: &str) -> Option<&'static Dialect> {
    DIALECTS.iter().copied().find(|dialect| dialect.name == name)
}

/// The routes of all dialects.
pub fn router(services: &Services) -> Router<Services> {
    DIALECTS.iter().fold(Router::new(), |router, dialect| {
        // A service is also found at the path with a slash at its end.
        let routes = dialect.router(services).with_state(services.clone());
        router.nest_service(&format!("{ROOT}/{}", dialect.name), routes)
    })
}

impl Dialect {
    fn router(&'static self, services: &Services) -> Router<Services> {
        let mut router = Router::new();
        for base in self.bases {
            for Route { access, class, is_metered, path, handler, .. } in (self.routes)() {
                let requirements = Requirements {
                    access,
                    class,
                    feature: None,
                    is_metered,
                    dialect: self.rate.map(|rate| (self.name, rate)),
                };
                let check = from_fn_with_state((services.clone(), requirements), authorize);
                let limit = from_fn_with_state(timeout_of(class), with_timeout);
                let handler = handler.route_layer(limit).route_layer(check);
                router = router.route(&format!("{base}{path}"), handler);
            }
            let site = services.site.base.clone();
            let collection = move || {
                let base = format!("{site}{ROOT}/{}{base}", self.name);
                postman::collection(self.product, &base, self.requests())
            };
            router = router.route(&format!("{base}/postman.json"), postman::serve(collection));
        }
        let not_found = async || ServiceError::not_found("path").into_response();
        let router = router
            .fallback(not_found)
            .layer(map_response(not_stored))
            .layer(CatchPanicLayer::custom(on_panic));
        let Some(adapt) = self.adapt else { return router };
        // A layer of the router itself would run after the routing.
        let adapted = from_fn(adapt).layer(router.with_state::<()>(services.clone()));
        Router::new().fallback_service(adapted)
    }

    /// The examples of its routes.
    fn requests(&self) -> Vec<postman::Request> {
        let request = |route: Route| postman::Request {
            folder: None,
            name: route.name.to_owned(),
            method: route.method.to_string(),
            path: route.path.to_owned(),
            query: route
                .query
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: route.body.map(str::to_owned),
        };
        (self.routes)().into_iter().map(request).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_errors_have_the_form_of_each_dialect_and_keep_their_cause() {
        let error = ServiceError::internal("a handler panicked");
        for dialect in DIALECTS {
            let (status, body) = (dialect.render_error)(&error);
            assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{}", dialect.name);
            assert!(body.is_object() && !body.to_string().contains("panicked"), "{body}");
        }
    }
}
