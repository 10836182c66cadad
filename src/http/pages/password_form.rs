//! The form that asks for the password of a link.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::LinkRequest;
use super::answer::Answer;
use super::views::PasswordPage;
use crate::http::Services;
use crate::http::form::Purpose;

/// Shows the form, with the error of the last attempt.
pub fn show_form(
    services: &Services,
    request: &LinkRequest,
    status: StatusCode,
    wrong: Option<&str>,
) -> Response {
    let LinkRequest { link, parts, at_ms, rest } = request;
    let guard = &services.visitors.guard;
    let issued = guard.issue(&parts.headers, Purpose::Unlock, link.id, *at_ms);
    let page = PasswordPage { slug: link.slug.as_str(), rest, guard: &issued.token, wrong };
    Answer::page(status, &page).with_form().cookie(issued.cookie.as_deref()).into_response()
}
