//! `/l/{slug}`: the page of a link that leads to no address.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_DISPOSITION;
use axum::response::{IntoResponse, Response};

use super::blocked::refused;
use super::views::{TextPage, VcardPage, WifiPage};
use super::{Answer, LinkRequest, blocked, not_found};
use crate::domain::link::{Block, Link, Payload};
use crate::http::Services;
use crate::http::signing::{decode, encode};

/// How long whoever has seen the page of a card may have it as a file, in milliseconds.
const PERMIT_MS: u64 = 60 * 60 * 1_000;

/// The page, which counts as a click; a link that leads to an address is followed.
pub async fn page(State(services): State<Services>, asked: LinkRequest) -> Response {
    let block = asked.block(&services);
    if block != Block::None {
        services.visitors.stopped(&asked, block);
        return blocked(&services, &asked, block);
    }
    let link = &asked.link;
    let Some(payload) = link.fields.content.payload() else {
        return Answer::redirect(&asked.with_query(&format!("/{}", link.slug))).into_response();
    };
    if let Some(refused) = refused(&services, &asked) {
        return refused;
    }
    let permit = link.fields.gates.limit.map(|_| permit(&services, &asked)).unwrap_or_default();
    shown(link, payload, &permit).into_response()
}

/// What the page of a link shows.
fn shown(link: &Link, payload: &Payload, permit: &str) -> Answer {
    let heading = |other| link.fields.title.as_deref().unwrap_or(other);
    match payload {
        Payload::Wifi(wifi) => {
            Answer::page(StatusCode::OK, &WifiPage { heading: heading("Wi-Fi"), wifi })
        }
        Payload::Vcard(card) => {
            Answer::page(StatusCode::OK, &VcardPage::new(link.slug.as_str(), card, permit))
        }
        Payload::Text(text) => {
            Answer::page(StatusCode::OK, &TextPage { heading: heading("A text for you"), text })
        }
    }
}

/// The card as a file. Who has seen the page is not counted again; who has not is where clicks are
/// limited.
pub async fn card(State(services): State<Services>, asked: LinkRequest) -> Response {
    let block = asked.block(&services);
    if block != Block::None {
        return blocked(&services, &asked, block);
    }
    let Some(Payload::Vcard(card)) = asked.link.fields.content.payload() else {
        return not_found(&asked.parts.headers);
    };
    if asked.link.fields.gates.limit.is_some()
        && !is_permitted(&services, &asked)
        && let Some(refused) = refused(&services, &asked)
    {
        return refused;
    }
    // Letters, digits, `-` and `_`: a slug needs no quoting.
    let disposition = format!("attachment; filename=\"{}.vcf\"", asked.link.slug);
    Answer::bytes(StatusCode::OK, "text/vcard; charset=utf-8", card.to_vcf())
        .text(CONTENT_DISPOSITION, &disposition)
        .into_response()
}

/// A permit to fetch the card without another click.
fn permit(services: &Services, asked: &LinkRequest) -> String {
    let until_ms = asked.at_ms.saturating_add(PERMIT_MS);
    let (version, until) = (asked.link.version.to_be_bytes(), until_ms.to_be_bytes());
    let said: [&[u8]; 3] = [asked.link.id.as_bytes(), &version, &until];
    encode(until_ms, &services.visitors.permits.sign(&said))
}

/// Whether the request has a permit for the link as it stands.
fn is_permitted(services: &Services, asked: &LinkRequest) -> bool {
    let query = asked.parts.uri.query().and_then(|query| query.strip_prefix("permit="));
    let Some((until_ms, tag)) = query.and_then(|permit| decode(permit.as_bytes())) else {
        return false;
    };
    let (version, until) = (asked.link.version.to_be_bytes(), until_ms.to_be_bytes());
    let said: [&[u8]; 3] = [asked.link.id.as_bytes(), &version, &until];
    asked.at_ms < until_ms && services.visitors.permits.is_signed(&said, &tag)
}
