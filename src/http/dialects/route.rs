//! Route declarations. Each has a handler, the required access, and an example for the Postman
//! collection.

use axum::extract::Request;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};

use crate::domain::error::{ErrorCode, ServiceError};
use crate::domain::plan::rate::RateClass;
use crate::http::Services;
use crate::http::auth::Access;

/// An operation of a dialect.
pub struct Route {
    /// The name in the product's documents: `Create Link`.
    pub name: &'static str,
    /// The method.
    pub method: Method,
    /// The path below the dialect's base: `/links/{slug}`.
    pub path: &'static str,
    /// The required access.
    pub access: Access,
    /// The cost class of a request.
    pub class: RateClass,
    /// Whether its requests count as API calls.
    pub is_metered: bool,
    /// The query parameters of the example.
    pub query: &'static [(&'static str, &'static str)],
    /// The JSON body of the example.
    pub body: Option<&'static str>,
    pub(super) handler: MethodRouter<Services>,
}

macro_rules! methods {
    ($($name:ident $method:ident;)*) => {$(
        /// A route of this method.
        pub fn $name<H: Handler<T, Services>, T: 'static>(
            name: &'static str,
            path: &'static str,
            access: impl Into<Access>,
            handler: H,
        ) -> Route {
            let (method, handler) = (Method::$method, on(MethodFilter::$method, handler));
            Route {
                name,
                method,
                path,
                access: access.into(),
                class: RateClass::Standard,
                is_metered: true,
                query: &[],
                body: None,
                handler,
            }
        }
    )*};
}

methods! {
    get GET;
    post POST;
    put PUT;
    patch PATCH;
    delete DELETE;
}

impl Route {
    /// Does not count requests as API calls.
    pub const fn unmetered(mut self) -> Self {
        self.is_metered = false;
        self
    }

    /// Sets the query parameters of the example.
    pub const fn query(mut self, query: &'static [(&'static str, &'static str)]) -> Self {
        self.query = query;
        self
    }

    /// Sets the body of the example.
    pub const fn body(mut self, json: &'static str) -> Self {
        self.body = Some(json);
        self
    }
}

/// The handler of a documented operation that slugline does not support: 501.
pub async fn not_implemented(_: Request) -> ServiceError {
    let message = "This installation does not support this operation.";
    ServiceError::new(ErrorCode::NotImplemented, message)
}
