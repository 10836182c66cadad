//! `/l/{slug}`: the page of a link that leads to no address.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_DISPOSITION;
use axum::response::{IntoResponse, Response};

use super::views::{TextPage, VcardPage, WifiPage};
use super::{Answer, Asked, blocked, not_found};
use crate::domain::link::{Block, Link, Payload};
use crate::http::Services;

/// The page, which counts as a click; a link that leads to an address is followed.
pub async fn page(State(services): State<Services>, asked: Asked) -> Response {
    let block = asked.block(&services);
    if block != Block::None {
        services.visitors.stopped(&asked, block);
        return blocked(&services, &asked, block);
    }
    match shown(&asked.link) {
        Some(answer) => {
            if !services.visitors.count(&asked) {
                services.visitors.stopped(&asked, Block::LimitReached);
                return blocked(&services, &asked, Block::LimitReached);
            }
            answer.into_response()
        }
        None => {
            Answer::redirect(&asked.with_query(&format!("/{}", asked.link.slug))).into_response()
        }
    }
}

/// What the page of a link shows; `None` for one that leads to an address.
fn shown(link: &Link) -> Option<Answer> {
    let heading = |other| link.fields.title.as_deref().unwrap_or(other);
    Some(match link.fields.content.payload()? {
        Payload::Wifi(wifi) => {
            Answer::page(StatusCode::OK, &WifiPage { heading: heading("Wi-Fi"), wifi })
        }
        Payload::Vcard(card) => {
            Answer::page(StatusCode::OK, &VcardPage::new(link.slug.as_str(), card))
        }
        Payload::Text(text) => {
            Answer::page(StatusCode::OK, &TextPage { heading: heading("A text for you"), text })
        }
    })
}

/// The card as a file. Whoever fetches it has seen the page: it counts as nothing.
pub async fn card(State(services): State<Services>, asked: Asked) -> Response {
    let block = asked.block(&services);
    if block != Block::None {
        return blocked(&services, &asked, block);
    }
    let Some(Payload::Vcard(card)) = asked.link.fields.content.payload() else {
        return not_found(&asked.parts.headers);
    };
    // Letters, digits, `-` and `_`: a slug needs no quoting.
    let disposition = format!("attachment; filename=\"{}.vcf\"", asked.link.slug);
    Answer::bytes(StatusCode::OK, "text/vcard; charset=utf-8", card.to_vcf())
        .text(CONTENT_DISPOSITION, &disposition)
        .into_response()
}
