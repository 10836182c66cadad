//! `/auth/{purpose}/{token}`: the pages of the links that are sent by mail, or printed.
//!
//! A GET changes nothing, because mail scanners follow links too. The token in the path permits
//! what the form does, so the form needs no guard. Pages send no referrer, which would have the
//! token.

mod actions;
mod forms;
pub mod views;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::header::ORIGIN;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use self::views::AccountNotice;
use super::{Answer, no_link};
use crate::commands::accounts::LinkPurpose;
use crate::domain::error::{ErrorCode, ServiceError};
use crate::http::Services;
use crate::http::auth::PublicRequest;
use crate::http::form::Form;
use crate::http::problem::status_and_code;

/// The routes below `/auth`.
pub fn router() -> Router<Services> {
    Router::new().route("/auth/{purpose}/{token}", get(show).post(submit))
}

/// A request with a link, whose token is not verified yet.
struct AccountRequest {
    from: PublicRequest,
    purpose: LinkPurpose,
    token: String,
}

impl FromRequestParts<Services> for AccountRequest {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self, Response> {
        let path = Path::<(String, String)>::from_request_parts(parts, services).await;
        let found = path.ok().and_then(|Path((name, token))| {
            let purpose = LinkPurpose::named(&name)?;
            Some((purpose, token))
        });
        let Some((purpose, token)) = found else { return Err(no_link(services, parts)) };
        // A browser that sends no referrer sends this with the forms of the page. If another site
        // has done so, `Sec-Fetch-Site` reveals it.
        if parts.headers.get(ORIGIN).is_some_and(|origin| origin == "null") {
            parts.headers.remove(ORIGIN);
        }
        let from = PublicRequest::from_request_parts(parts, services).await;
        let from = from.map_err(|error| error_page(&error))?;
        Ok(Self { from, purpose, token })
    }
}

/// Shows the form of a link.
async fn show(request: AccountRequest) -> Response {
    match request.form() {
        Ok(form) => Answer::page(StatusCode::OK, &form).into_response(),
        Err(error) => error_page(&error),
    }
}

/// Follows a link. What is wrong with the input is shown in the form.
async fn submit(request: AccountRequest, form: Result<Form, StatusCode>) -> Response {
    let form = match form {
        Ok(form) => form,
        Err(status) => {
            let text = "The form could not be read. Please open the link again.";
            return failed(status, ErrorCode::Invalid, text).into_response();
        }
    };
    let error = match request.follow(&form).await {
        Ok(done) => return Answer::page(StatusCode::OK, &done).into_response(),
        Err(error) => error,
    };
    match request.form_again(&form, &error) {
        Some(again) => Answer::page(status_and_code(error.code).0, &again).into_response(),
        None => error_page(&error),
    }
}

/// The page of an error that is not about the input.
fn error_page(error: &ServiceError) -> Response {
    let (status, code) = status_and_code(error.code);
    if let Some(cause) = &error.cause {
        tracing::error!(http.status = status.as_u16(), code, cause, "following a link failed");
    }
    let wait = error.retry_after_seconds.map(u64::from);
    failed(status, error.code, &error.message).retry_after(wait).into_response()
}

fn failed(status: StatusCode, code: ErrorCode, text: &str) -> Answer {
    let title = match code {
        ErrorCode::NotFound => "This link is not valid",
        ErrorCode::Gone => "This link is no longer valid",
        ErrorCode::RateLimited => "Too many attempts",
        _ => "That did not work",
    };
    let page = AccountNotice { title: title.to_owned(), text: text.to_owned(), is_done: false };
    Answer::page(status, &page)
}
