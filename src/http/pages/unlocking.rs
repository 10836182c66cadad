//! `/l/{slug}/unlock`: a link's password is asked for, and taken.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::views::{PasswordPage, UnlockedPage};
use super::{Answer, LinkRequest, blocked};
use crate::domain::link::Block;
use crate::http::Services;
use crate::http::form::{Form, Purpose};
use crate::http::problem::Problem;

const OUT_OF_DATE: &str = "The form was out of date. Please try again.";

/// The form, with what was wrong the last time.
pub fn ask(
    services: &Services,
    asked: &LinkRequest,
    status: StatusCode,
    wrong: Option<&str>,
) -> Response {
    let LinkRequest { link, parts, at_ms, rest } = asked;
    let guard = &services.visitors.guard;
    let issued = guard.issue(&parts.headers, Purpose::Unlock, link.id, *at_ms);
    let page = PasswordPage { slug: link.slug.as_str(), rest, guard: &issued.token, wrong };
    Answer::page(status, &page).with_form().cookie(issued.cookie.as_deref()).into_response()
}

/// Who reloads the address of a form that was sent is led to the link.
pub async fn back(asked: LinkRequest) -> Response {
    Answer::redirect(&format!("/{}", asked.link.slug)).into_response()
}

/// Takes a password. A guess counts before it is compared, so that many at once are no way around
/// the bound.
pub async fn unlock(
    State(services): State<Services>,
    mut asked: LinkRequest,
    form: Result<Form, StatusCode>,
) -> Response {
    // It goes behind a slash and the slug, so it names nothing but a path here.
    let rest = form.as_ref().map_or("", |form| form.field("rest"));
    rest.clone_into(&mut asked.rest);
    let LinkRequest { link, parts, at_ms, rest } = &asked;
    let closed = link.fields.gates.closed_at(*at_ms);
    if closed != Block::None {
        return blocked(&services, &asked, closed);
    }
    let Some(hash) = link.fields.gates.password() else { return back(asked).await };
    let form = match form {
        Ok(form) => form,
        Err(status) => return ask(&services, &asked, status, Some(OUT_OF_DATE)),
    };
    let visitors = &services.visitors;
    let token = form.field("guard");
    if !visitors.guard.holds(&parts.headers, Purpose::Unlock, link.id, token, *at_ms) {
        return ask(&services, &asked, StatusCode::FORBIDDEN, Some(OUT_OF_DATE));
    }
    let address = visitors.client(parts);
    if let Err(refused) = visitors.guesses.take(address, link.id) {
        let wait = refused.retry_seconds.into();
        visitors.stopped(&asked, Block::GuessedTooOften);
        return too_often(blocked(&services, &asked, Block::GuessedTooOften), wait);
    }
    let guess = form.field("password").to_owned();
    match services.commands.passwords().is_right(guess, hash).await {
        Ok(true) => {
            visitors.guesses.was_right(address, link.id);
            let cookie = visitors.unlock.cookie(link.id, link.version, *at_ms);
            let page = UnlockedPage { slug: link.slug.as_str(), rest };
            Answer::page(StatusCode::OK, &page).cookie(Some(&cookie)).into_response()
        }
        Ok(false) => {
            visitors.stopped(&asked, Block::PasswordWrong);
            blocked(&services, &asked, Block::PasswordWrong)
        }
        Err(error) => {
            visitors.guesses.give_back(address, link.id);
            Problem::from(error).into_response()
        }
    }
}

fn too_often(mut response: Response, wait_seconds: u64) -> Response {
    response.headers_mut().insert(axum::http::header::RETRY_AFTER, wait_seconds.into());
    response
}
