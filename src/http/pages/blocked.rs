//! The responses to blocked visits.

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::answer::{Answer, PageTime};
use super::password_form::show_form;
use super::views::Notice;
use super::{LinkRequest, wants_json};
use crate::clicks::Admitted;
use crate::domain::click::BotReason;
use crate::domain::error::ServiceError;
use crate::domain::link::Block;
use crate::http::Services;
use crate::http::problem::status_and_code;

/// Neither a link nor a path of the service: a page, or a problem for clients that prefer JSON.
pub fn not_found(headers: &HeaderMap) -> Response {
    if wants_json(headers) {
        return ServiceError::not_found("link").into_response();
    }
    let notice = Notice {
        title: "No such link",
        text: "This short link does not exist, or not any more. Please check its spelling: \
               capital letters count.",
        from: None,
    };
    Answer::page(StatusCode::NOT_FOUND, &notice).into_response()
}

/// The response to a request that failed: a page, or a problem for clients that prefer JSON.
pub fn failed(headers: &HeaderMap, error: ServiceError) -> Response {
    if wants_json(headers) {
        return error.into_response();
    }
    let (status, code) = status_and_code(error.code);
    if status == StatusCode::NOT_FOUND {
        return not_found(headers);
    }
    if let Some(cause) = &error.cause {
        tracing::error!(http.status = status.as_u16(), code, cause, "a visitor's request failed");
    }
    let text = if status == StatusCode::INTERNAL_SERVER_ERROR {
        "It is not your fault. Please try again later."
    } else {
        "The service cannot do this at the moment. Please try again soon."
    };
    let notice = Notice { title: "Something went wrong", text, from: None };
    let wait = error.retry_after_seconds.map(u64::from);
    Answer::page(status, &notice).retry_after(wait).into_response()
}

/// The response to a visit that does not count towards a link's `max_clicks`. A prefetch is
/// rejected, so that no browser shows this response when its visitor follows the link.
pub const fn uncounted(bot: BotReason) -> (StatusCode, Notice) {
    let notice = Notice {
        title: "This link opens for a limited number of visits",
        text: "Open it in a browser to use one of them. Programs and previews are not shown its \
               destination.",
        from: None,
    };
    match bot {
        BotReason::Prefetch => (StatusCode::SERVICE_UNAVAILABLE, notice),
        _ => (StatusCode::OK, notice),
    }
}

/// The response to an address that made too many visits.
pub const fn too_many_visits() -> (StatusCode, Notice) {
    let notice = Notice {
        title: "Too many visits",
        text: "Too many links were opened from your address lately, not necessarily by you. Please \
               wait a moment and try again.",
        from: None,
    };
    (StatusCode::TOO_MANY_REQUESTS, notice)
}

/// Counts a click of a link with a page. Returns the response if the page must not be shown.
pub fn count_or_refuse(services: &Services, request: &LinkRequest) -> Option<Response> {
    match services.visitors.count(request) {
        Admitted::Through => None,
        Admitted::Uncounted(bot) => {
            let (status, notice) = uncounted(bot);
            Some(Answer::page(status, &notice).into_response())
        }
        Admitted::UsedUp => {
            services.visitors.record_blocked(request, Block::LimitReached);
            Some(blocked(services, request, Block::LimitReached))
        }
    }
}

/// The response to a visit that a gate blocked.
///
/// Links that may work later get a 404, links that are over a 410. A password prompt gets a 401,
/// but without the header of RFC 9110 §11.6.1: it uses none of the schemes that browsers support,
/// and with the header they would show their own prompt.
pub fn blocked(services: &Services, request: &LinkRequest, block: Block) -> Response {
    let gates = &request.link.fields.gates;
    let is_over = matches!(block, Block::Expired | Block::LimitReached);
    if let Some(url) = gates.expired_url.as_deref().filter(|_| is_over) {
        return Answer::redirect(url).into_response();
    }
    let (status, title, text) = match block {
        Block::None => return not_found(&request.parts.headers),
        Block::PasswordRequired => {
            return show_form(services, request, StatusCode::UNAUTHORIZED, None);
        }
        Block::PasswordWrong => {
            let wrong = Some("That is not the password.");
            return show_form(services, request, StatusCode::UNAUTHORIZED, wrong);
        }
        Block::Disabled => (
            StatusCode::NOT_FOUND,
            "This link is switched off",
            "Its owner has switched it off; it may work again later.",
        ),
        Block::NotStarted => {
            (StatusCode::NOT_FOUND, "This link is not open yet", "Please come back later.")
        }
        Block::Archived => {
            (StatusCode::GONE, "This link is no longer in use", "Its owner has archived it.")
        }
        Block::Expired => (StatusCode::GONE, "This link has expired", "It is no longer available."),
        Block::LimitReached => (
            StatusCode::GONE,
            "This link has been used up",
            "It was open for a limited number of visits.",
        ),
        Block::GuessedTooOften => (
            StatusCode::TOO_MANY_REQUESTS,
            "Too many wrong passwords",
            "Too many wrong passwords were entered for this link lately, not necessarily by you. \
             Please wait a while before you try again.",
        ),
    };
    let opens_ms = gates.starts_at_ms.filter(|_| block == Block::NotStarted);
    let notice = Notice { title, text, from: opens_ms.map(PageTime::at) };
    let wait = opens_ms.map(|at| at.saturating_sub(request.at_ms).div_ceil(1_000));
    Answer::page(status, &notice).retry_after(wait).into_response()
}
