//! `/l/{slug}/unlock`: the password prompt of a link.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::password_form::show_form;
use super::views::UnlockedPage;
use super::{Answer, LinkRequest, blocked, failed};
use crate::domain::link::Block;
use crate::http::Services;
use crate::http::form::{Form, Purpose};

const OUT_OF_DATE: &str = "The form was out of date. Please try again.";

/// Reloading the address of a submitted form redirects to the link.
pub async fn redirect_to_link(request: LinkRequest) -> Response {
    Answer::redirect(&format!("/{}", request.link.slug)).into_response()
}

/// Checks a password. A guess counts before it is compared, so that concurrent guesses do not
/// bypass the limit.
pub async fn unlock(
    State(services): State<Services>,
    mut request: LinkRequest,
    form: Result<Form, StatusCode>,
) -> Response {
    // It is appended to the slug, so it can only be a path here.
    let rest = form.as_ref().map_or("", |form| form.field("rest"));
    rest.clone_into(&mut request.rest);
    let LinkRequest { link, parts, at_ms, rest } = &request;
    let closed = link.fields.gates.closed_at(*at_ms);
    if closed != Block::None {
        return blocked(&services, &request, closed);
    }
    let Some(hash) = link.fields.gates.password() else { return redirect_to_link(request).await };
    let form = match form {
        Ok(form) => form,
        Err(status) => return show_form(&services, &request, status, Some(OUT_OF_DATE)),
    };
    let visitors = &services.visitors;
    let token = form.field("guard");
    if !visitors.guard.is_valid(&parts.headers, Purpose::Unlock, link.id, token, *at_ms) {
        return show_form(&services, &request, StatusCode::FORBIDDEN, Some(OUT_OF_DATE));
    }
    let address = visitors.client(parts);
    if let Err(refused) = visitors.guesses.take(address, link.id) {
        let wait = refused.retry_seconds.into();
        visitors.record_blocked(&request, Block::GuessedTooOften);
        return too_often(blocked(&services, &request, Block::GuessedTooOften), wait);
    }
    let (guess, hash) = (form.field("password").to_owned(), hash.phc().to_owned());
    match services.commands.passwords().is_right(guess, Some(hash)).await {
        Ok(true) => {
            visitors.guesses.was_right(address, link.id);
            let cookie = visitors.unlock.cookie(link.id, link.version, *at_ms);
            let page = UnlockedPage { slug: link.slug.as_str(), rest };
            Answer::page(StatusCode::OK, &page).cookie(Some(&cookie)).into_response()
        }
        Ok(false) => {
            visitors.record_blocked(&request, Block::PasswordWrong);
            blocked(&services, &request, Block::PasswordWrong)
        }
        Err(error) => {
            visitors.guesses.give_back(address, link.id);
            failed(&parts.headers, error)
        }
    }
}

fn too_often(mut response: Response, wait_seconds: u64) -> Response {
    response.headers_mut().insert(axum::http::header::RETRY_AFTER, wait_seconds.into());
    response
}
