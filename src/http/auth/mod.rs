//! Authentication and authorization. Each route declares who may call it.

mod caller;
mod cookie;
pub mod failures;
mod plan;
mod public_request;
pub mod sign_in_limits;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use metrics::counter;

use caller::Caller;
pub use caller::{Session, actor_in};
pub use cookie::{SessionCookies, check_origin};
pub use public_request::PublicRequest;

use super::Services;
use super::attempt_limiter::ANY_SUBJECT;
use super::rate_limit::Usage;
use crate::commands::now_ms;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::ids::UserId;
use crate::domain::plan::Feature;
use crate::domain::plan::rate::{RateClass, RateLimit};
use crate::domain::token::{Ability, Actor};
use crate::metrics::REQUESTS_LIMITED;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// Tokens and members with this ability. Handlers find their [`Actor`] in the request's
    /// extensions.
    Ability(Ability),
    /// Users who are signed in, by a cookie or a JWT: no API tokens. Handlers find their [`Actor`]
    /// and [`Session`] in the request's extensions.
    SignedIn,
    /// The operator's key, or a superadmin who is signed in.
    Operator,
}

impl From<Ability> for Access {
    fn from(ability: Ability) -> Self {
        Self::Ability(ability)
    }
}

impl Access {
    /// The name in the API's description.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Ability(ability) => ability.as_str(),
            Self::SignedIn => "session",
            Self::Operator => "operator",
        }
    }

    /// Adds a caller with access to the request's extensions.
    fn check(self, parts: &mut Parts, caller: &Caller) -> Result<()> {
        let forbidden = |detail: String| Err(ServiceError::new(ErrorCode::Forbidden, detail));
        let actor = caller.actor;
        if let Some(session) = caller.session {
            parts.extensions.insert(session);
        }
        match self {
            Self::Public => Ok(()),
            Self::Ability(ability) if actor.abilities.allows(ability) => {
                parts.extensions.insert(actor);
                Ok(())
            }
            Self::SignedIn if caller.session.is_some() => {
                parts.extensions.insert(actor);
                Ok(())
            }
            Self::SignedIn => {
                forbidden("This requires signing in: an API token is not enough.".to_owned())
            }
            Self::Ability(ability) => {
                let who = if caller.session.is_some() { "Your role" } else { "This token" };
                forbidden(format!("{who} lacks the ability {}.", ability.as_str()))
            }
            Self::Operator if caller.is_superadmin => Ok(()),
            Self::Operator => {
                let detail = "This requires a superadmin who has signed in (an API token is not \
                              enough), or the slugline command on the machine of the service.";
                forbidden(detail.to_owned())
            }
        }
    }
}

/// Counts a request of an address, if that is enabled.
fn limit_address(parts: &Parts, services: &Services) -> Result<()> {
    let Some(limiter) = &services.address_limits.api else { return Ok(()) };
    let taken = limiter.take(services.visitors.client(parts), &ANY_SUBJECT);
    taken.map_err(|refused| {
        counter!(REQUESTS_LIMITED, "limit" => "api").increment(1);
        refused.error("Too many requests came from your address: send fewer per minute.")
    })
}

/// What the handlers of the API work with: the services, and the actor that [`authorize`] found.
pub struct Api {
    /// The services.
    pub services: Services,
    /// Who calls.
    pub actor: Actor,
}

impl FromRequestParts<Services> for Api {
    type Rejection = ServiceError;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self> {
        let actor = parts.extensions.get().copied();
        let actor = actor.ok_or_else(|| ServiceError::internal("a route without an actor"))?;
        Ok(Self { services: services.clone(), actor })
    }
}

impl Api {
    /// The user who calls.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`] for machine tokens.
    pub fn user(&self) -> Result<UserId> {
        let text = "This token belongs to no user: use a user's token, or sign in.";
        let user = self.actor.user.map(|(user, _)| user);
        user.ok_or_else(|| ServiceError::new(ErrorCode::Forbidden, text))
    }

    /// Refuses callers without an ability that is needed besides the route's.
    pub fn require(&self, ability: Ability) -> Result<()> {
        if self.actor.abilities.allows(ability) {
            return Ok(());
        }
        let text = format!("You lack the ability {}.", ability.as_str());
        Err(ServiceError::new(ErrorCode::Forbidden, text))
    }
}

impl FromRequestParts<Services> for Session {
    type Rejection = ServiceError;

    async fn from_request_parts(parts: &mut Parts, _: &Services) -> Result<Self> {
        let session = parts.extensions.get().copied();
        session.ok_or_else(|| ServiceError::internal("a route without a session"))
    }
}

/// The user of an operator's route: a superadmin who is signed in; `None` for the operator's key.
pub struct ActingSuperadmin(pub Option<UserId>);

impl FromRequestParts<Services> for ActingSuperadmin {
    type Rejection = ServiceError;

    async fn from_request_parts(parts: &mut Parts, _: &Services) -> Result<Self> {
        Ok(Self(parts.extensions.get::<Session>().map(|session| session.user)))
    }
}

/// What the layer of a route checks.
#[derive(Debug, Clone, Copy)]
pub struct Requirements {
    /// Who may call it.
    pub access: Access,
    /// The feature that the workspace's plan must include.
    pub feature: Option<Feature>,
    /// The cost class of its requests.
    pub class: RateClass,
    /// Whether requests of apps count as API calls.
    pub is_metered: bool,
    /// The dialect of the route, and the limit of its requests if the plan has none.
    pub dialect: Option<(&'static str, RateLimit)>,
}

impl Requirements {
    /// Authenticates a request, checks what its caller may do, and adds the caller to its
    /// extensions. `usage` is what it used of the plan's rate limits, also if it is refused.
    fn admit(
        self,
        parts: &mut Parts,
        services: &Services,
        usage: &mut Option<Usage>,
    ) -> Result<()> {
        let Self { access, feature, class, is_metered, dialect } = self;
        if access == Access::Operator && caller::has_operator_key(parts, services) {
            return Ok(());
        }
        limit_address(parts, services)?;
        if access == Access::Public {
            return Ok(());
        }
        // Without a valid credential the status is 401, even if none would suffice.
        let caller = caller::authenticate(parts, services)?;
        // No plan applies to the operator.
        if access == Access::Operator {
            return access.check(parts, &caller);
        }
        plan::limit_rate(services, (class, dialect), &caller, usage)?;
        access.check(parts, &caller)?;
        let is_app = !caller.session.is_some_and(|session| session.is_browser);
        // An app can manage its account on any plan.
        let needs_api = is_app && matches!(access, Access::Ability(_));
        plan::require(&caller.plan, feature.into_iter().chain(needs_api.then_some(Feature::Api)))?;
        if is_app && is_metered {
            plan::count_call(services, &caller)?;
        }
        Ok(())
    }
}

/// Refuses requests that have neither the operator's key nor the session of a superadmin.
pub fn require_operator(parts: &mut Parts, services: &Services) -> Result<()> {
    if caller::has_operator_key(parts, services) {
        return Ok(());
    }
    let caller = caller::authenticate(parts, services)?;
    Access::Operator.check(parts, &caller)
}

/// The layer of a route that rejects requests which do not meet its [`Requirements`], and states
/// the rate limits in the headers of responses.
pub async fn authorize(
    State((services, requirements)): State<(Services, Requirements)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let (now_ms, mut usage) = (now_ms(), None);
    let mut response = match requirements.admit(&mut parts, &services, &mut usage) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(error) => error.into_response(),
    };
    if let Some(usage) = usage {
        usage.write(response.headers_mut(), now_ms);
    }
    response
}
