//! Route declarations. Each says who may call the route and names its handler, whose
//! `#[utoipa::path]` holds the method, the path and the description. The router, the OpenAPI
//! document and the test of the abilities are all made from them.

use std::time::Duration;

use axum::routing::MethodRouter;
use utoipa::openapi::path::Paths;
use utoipa::openapi::{RefOr, Schema};
use utoipa_axum::router::UtoipaMethodRouter;

use crate::domain::plan::Feature;
use crate::http::Services;
use crate::http::auth::Access;
use crate::limits::{HEAVY_REQUEST_TIMEOUT, REQUEST_TIMEOUT};

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
    /// How much a request costs.
    pub class: RateClass,
    /// The feature that the workspace's plan has to include.
    pub feature: Option<Feature>,
    pub(super) handler: MethodRouter<Services>,
}

/// How much a request costs: what it counts towards rate limits, and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateClass {
    /// Most requests.
    Standard,
    /// Requests that read all clicks, or a large file.
    Heavy,
}

impl RateClass {
    pub(super) const fn timeout(self) -> Duration {
        match self {
            Self::Standard => REQUEST_TIMEOUT,
            Self::Heavy => HEAVY_REQUEST_TIMEOUT,
        }
    }
}

/// The routes of a noun.
pub struct Routes {
    tag: &'static str,
    noun: &'static str,
    pub(super) declared: Vec<Route>,
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
        let (class, feature) = (RateClass::Standard, None);
        self.declared.push(Route { tag, noun, access, paths, schemas, class, feature, handler });
        self
    }

    /// Changes the last route: `.with(|route| route.class = RateClass::Heavy)`.
    pub fn with(mut self, change: impl FnOnce(&mut Route)) -> Self {
        if let Some(route) = self.declared.last_mut() {
            change(route);
        }
        self
    }
}
