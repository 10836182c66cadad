//! Responds to ACME HTTP-01 challenges, on any host (RFC 8555, 8.3).

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Services;
use crate::domain::error::{Result, ServiceError};

const NEVER_STORED: HeaderValue = HeaderValue::from_static("no-store");

/// The open challenge, if any: there is one order at a time, for one host.
#[derive(Debug, Default)]
pub struct OpenChallenge(ArcSwapOption<Challenge>);

#[derive(Debug)]
struct Challenge {
    token: String,
    answer: String,
}

impl OpenChallenge {
    /// Opens a challenge.
    pub fn open(&self, token: &str, answer: &str) {
        let challenge = Challenge { token: token.to_owned(), answer: answer.to_owned() };
        self.0.store(Some(challenge.into()));
    }

    /// Closes the challenge.
    pub fn close(&self) {
        self.0.store(None);
    }

    fn answer_to(&self, token: &str) -> Option<String> {
        let open = self.0.load();
        let challenge = open.as_ref().filter(|challenge| challenge.token == token)?;
        Some(challenge.answer.clone())
    }
}

/// The path of challenges.
pub fn router() -> Router<Services> {
    Router::new().route("/.well-known/acme-challenge/{token}", get(answer))
}

async fn answer(State(services): State<Services>, Path(token): Path<String>) -> Result<Response> {
    let answer = services.challenge.answer_to(&token);
    let answer = answer.ok_or_else(|| ServiceError::not_found("path"))?;
    Ok(([(CACHE_CONTROL, NEVER_STORED)], answer).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_open_challenge_is_answered() {
        let challenge = OpenChallenge::default();
        assert_eq!(challenge.answer_to(""), None);
        challenge.open("one", "one.key");
        assert_eq!(challenge.answer_to("one").as_deref(), Some("one.key"));
        assert_eq!(challenge.answer_to("other"), None);
        challenge.open("other", "other.key");
        assert_eq!(challenge.answer_to("one"), None);
        challenge.close();
        assert_eq!(challenge.answer_to("other"), None);
    }
}
