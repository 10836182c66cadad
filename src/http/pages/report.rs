//! `/l/{slug}/report`: a visitor reports a link to its owner.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::preview::short_url;
use super::views::{Notice, ReportPage};
use super::{Answer, LinkRequest, failed};
use crate::domain::command::Command;
use crate::domain::report::Complaint;
use crate::domain::token::{Ability, Actor};
use crate::http::Services;
use crate::http::attempt_limiter::ANY_SUBJECT;
use crate::http::form::{Form, Purpose};

/// Shows the form.
pub async fn form(State(services): State<Services>, request: LinkRequest) -> Response {
    show_form(&services, &request, StatusCode::OK, ("", "", None))
}

/// Shows the form with the submitted reason and text, and the error.
fn show_form(
    services: &Services,
    request: &LinkRequest,
    status: StatusCode,
    (reason, text, wrong): (&str, &str, Option<&str>),
) -> Response {
    let LinkRequest { link, parts, at_ms, .. } = request;
    let guard = &services.visitors.guard;
    let issued = guard.issue(&parts.headers, Purpose::Report, link.id, *at_ms);
    let (slug, short_url) = (link.slug.as_str(), &short_url(services, link));
    let page = ReportPage { slug, short_url, guard: &issued.token, reason, text, wrong };
    Answer::page(status, &page).with_form().cookie(issued.cookie.as_deref()).into_response()
}

/// Accepts a report.
pub async fn send(
    State(services): State<Services>,
    request: LinkRequest,
    form: Result<Form, StatusCode>,
) -> Response {
    let LinkRequest { link, parts, at_ms, .. } = &request;
    let out_of_date = "The form was out of date. Please try again.";
    let form = match form {
        Ok(form) => form,
        Err(status) => return show_form(&services, &request, status, ("", "", Some(out_of_date))),
    };
    let (reason, text) = (form.field("reason"), form.field("text"));
    let again = |status, wrong| show_form(&services, &request, status, (reason, text, Some(wrong)));
    let visitors = &services.visitors;
    let token = form.field("guard");
    if !visitors.guard.is_valid(&parts.headers, Purpose::Report, link.id, token, *at_ms) {
        return again(StatusCode::FORBIDDEN, out_of_date);
    }
    let complaint = match Complaint::accept(reason, text) {
        Ok(complaint) => complaint,
        Err(invalid) if invalid.fields().contains_key("reason") => {
            return again(StatusCode::UNPROCESSABLE_ENTITY, "Please choose what is wrong.");
        }
        Err(_) => {
            let wrong = "The text is too long, or contains invalid characters.";
            return again(StatusCode::UNPROCESSABLE_ENTITY, wrong);
        }
    };
    let address = visitors.client(parts);
    if let Err(refused) = visitors.reports.take(address, &ANY_SUBJECT) {
        let notice = Notice {
            title: "Too many reports",
            text: "Please wait a while before you send another one.",
            from: None,
        };
        return Answer::page(StatusCode::TOO_MANY_REQUESTS, &notice)
            .retry_after(Some(refused.retry_seconds.into()))
            .into_response();
    }
    let actor = Actor::service(link.workspace, Ability::LinksWrite);
    let command = Command::ReportLink(link.id, complaint);
    if let Err(error) = services.commands.run(actor, command, None).await {
        visitors.reports.give_back(address, &ANY_SUBJECT);
        return failed(&parts.headers, error);
    }
    let notice = Notice {
        title: "Thank you",
        text: "The owner of the link can read your report now.",
        from: None,
    };
    Answer::page(StatusCode::OK, &notice).into_response()
}
