//! `/api/v1/user/sessions`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::error::{Result, ServiceError};
use crate::domain::event::SessionState;
use crate::http::Services;
use crate::http::auth::Session;
use crate::http::native::{Data, iso8601};
use crate::http::params::Name;

/// A session.
#[derive(Serialize, ToSchema)]
pub struct SessionView {
    #[schema(example = "sess_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    id: String,
    /// `browser` with a cookie, `jwt` with a token.
    #[schema(example = "browser")]
    kind: &'static str,
    /// The browser and the operating system; empty if unknown.
    #[schema(example = "Firefox, Linux")]
    client: String,
    /// Whether it is the session of this request.
    current: bool,
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was last used, to within five minutes; null if unknown, and for tokens.
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    #[schema(format = DateTime)]
    expires_at: String,
}

impl SessionView {
    fn new(state: SessionState, services: &Services, current: Session) -> Result<Self> {
        let (_, id) = state.ids()?;
        let last_used = services.tokens.last_used.of(id.uuid());
        Ok(Self {
            id: id.to_string(),
            kind: if state.is_browser() { "browser" } else { "jwt" },
            current: id == current.id,
            created_at: iso8601(state.created_at_ms),
            last_used_at: last_used.map(|at_ms| iso8601(at_ms.max(state.created_at_ms))),
            expires_at: iso8601(state.expires_at_ms),
            client: state.client,
        })
    }
}

/// Lists the caller's sessions, oldest first.
#[utoipa::path(
    get, path = "/user/sessions",
    responses((status = 200, body = Data<Vec<SessionView>>)),
)]
pub async fn list_sessions(
    State(services): State<Services>,
    session: Session,
) -> Result<Json<Data<Vec<SessionView>>>> {
    let sessions = services.accounts.sessions(session.user)?.into_iter();
    let views = sessions.map(|state| SessionView::new(state, &services, session));
    Ok(Json(Data { data: views.collect::<Result<_>>()? }))
}

/// Ends a session of the caller.
///
/// Its cookie or JWT is refused from then on.
#[utoipa::path(
    delete, path = "/user/sessions/{session}",
    responses((status = 204, description = "Ended.")),
)]
pub async fn end_session(
    State(services): State<Services>,
    session: Session,
    Name(id): Name,
) -> Result<StatusCode> {
    let id = id.parse().map_err(|_| ServiceError::not_found("session"))?;
    services.accounts.end_session(session.user, id).await?;
    services.tokens.last_used.forget(id.uuid());
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all sessions of the caller, including this one.
#[utoipa::path(
    delete, path = "/user/sessions",
    responses((status = 204, description = "Ended.")),
)]
pub async fn end_sessions(
    State(services): State<Services>,
    session: Session,
) -> Result<StatusCode> {
    services.accounts.end_sessions(session.user).await?;
    Ok(StatusCode::NO_CONTENT)
}
