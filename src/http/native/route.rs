//! Route declarations. Each has the required access and a handler, whose `#[utoipa::path]` has the
//! method, the path and the description. The router, the OpenAPI document and the test of the
//! abilities are generated from them.

use axum::routing::MethodRouter;
use utoipa::openapi::path::Paths;
use utoipa::openapi::{RefOr, Schema};
use utoipa_axum::router::UtoipaMethodRouter;

use crate::domain::plan::Feature;
use crate::domain::plan::rate::RateClass;
use crate::http::Services;
use crate::http::auth::Access;

/// An operation of the API.
pub struct Route {
    /// The OpenAPI tag: its section of the reference.
    pub tag: &'static str,
    /// The prefix of the `operationId`, followed by the handler's name.
    pub noun: &'static str,
    /// The required access.
    pub access: Access,
    /// The path with its single operation.
    pub paths: Paths,
    /// The schemas that the operation refers to.
    pub schemas: Vec<(String, RefOr<Schema>)>,
    /// The cost class of a request, which also determines its timeout.
    pub class: RateClass,
    /// Whether requests of apps count as API calls, of which plans allow so many per month.
    pub is_metered: bool,
    /// The feature that the workspace's plan must include.
    pub feature: Option<Feature>,
    /// Whether a change takes an `Idempotency-Key`.
    pub takes_idempotency_key: bool,
    pub(super) handler: MethodRouter<Services>,
}

/// Collects the routes of a resource.
pub struct Routes {
    tag: &'static str,
    noun: &'static str,
    takes_idempotency_keys: bool,
    are_metered: bool,
    pub(super) declared: Vec<Route>,
}

impl Routes {
    /// An empty collection; routes added next get this tag and noun.
    pub const fn of(tag: &'static str, noun: &'static str) -> Self {
        let (takes_idempotency_keys, are_metered) = (true, true);
        Self { tag, noun, takes_idempotency_keys, are_metered, declared: Vec::new() }
    }

    /// Sets the tag and noun of the routes added next.
    pub fn then(self, tag: &'static str, noun: &'static str) -> Self {
        Self { tag, noun, ..self }
    }

    /// Declares that changes by the routes added next ignore `Idempotency-Key`.
    pub const fn without_idempotency_keys(mut self) -> Self {
        self.takes_idempotency_keys = false;
        self
    }

    /// Declares that requests to the routes added next are not API calls of the plan, so that they
    /// are answered when those are used up.
    pub const fn unmetered(mut self) -> Self {
        self.are_metered = false;
        self
    }

    /// Adds a route: `.route(Ability::LinksRead, routes!(list))`.
    pub fn route(
        mut self,
        access: impl Into<Access>,
        (schemas, paths, handler): UtoipaMethodRouter<Services>,
    ) -> Self {
        let (tag, noun, access) = (self.tag, self.noun, access.into());
        self.declared.push(Route {
            tag,
            noun,
            access,
            paths,
            schemas,
            class: RateClass::Standard,
            is_metered: self.are_metered,
            feature: None,
            takes_idempotency_key: self.takes_idempotency_keys,
            handler,
        });
        self
    }

    /// Modifies the last route: `.with(|route| route.class = RateClass::Heavy)`.
    pub fn with(mut self, change: impl FnOnce(&mut Route)) -> Self {
        if let Some(route) = self.declared.last_mut() {
            change(route);
        }
        self
    }
}
