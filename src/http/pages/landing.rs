//! `/l/{slug}`: the page of a link without a destination address.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_DISPOSITION;
use axum::response::{IntoResponse, Response};

use super::blocked::count_or_refuse;
use super::views::{TextPage, VcardPage, WifiPage};
use super::{Answer, LinkRequest, blocked, not_found};
use crate::domain::link::{Block, Link, Payload};
use crate::http::Services;
use crate::identity::signing::{decode, encode};

/// How long a visitor of a card's page may download the card, in milliseconds.
const PERMIT_MS: u64 = 60 * 60 * 1_000;

/// Shows the page, which counts as a click. A link with an address redirects.
pub async fn page(State(services): State<Services>, request: LinkRequest) -> Response {
    let block = request.block(&services);
    if block != Block::None {
        services.visitors.record_blocked(&request, block);
        return blocked(&services, &request, block);
    }
    let link = &request.link;
    let Some(payload) = link.fields.content.payload() else {
        return Answer::redirect(&request.with_query(&format!("/{}", link.slug))).into_response();
    };
    if let Some(refused) = count_or_refuse(&services, &request) {
        return refused;
    }
    let permit = link.fields.gates.limit.map(|_| permit(&services, &request)).unwrap_or_default();
    shown(link, payload, &permit).into_response()
}

/// The page of a link.
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

/// Downloads the card. With a click limit, it counts as a click unless the visitor has seen the
/// page.
pub async fn card(State(services): State<Services>, request: LinkRequest) -> Response {
    let block = request.block(&services);
    if block != Block::None {
        return blocked(&services, &request, block);
    }
    let Some(Payload::Vcard(card)) = request.link.fields.content.payload() else {
        return not_found(&request.parts.headers);
    };
    if request.link.fields.gates.limit.is_some()
        && !is_permitted(&services, &request)
        && let Some(refused) = count_or_refuse(&services, &request)
    {
        return refused;
    }
    // Letters, digits, `-` and `_`: a slug needs no quoting.
    let disposition = format!("attachment; filename=\"{}.vcf\"", request.link.slug);
    Answer::bytes(StatusCode::OK, "text/vcard; charset=utf-8", card.to_vcf())
        .text(CONTENT_DISPOSITION, &disposition)
        .into_response()
}

/// A permit to download the card without another click.
fn permit(services: &Services, request: &LinkRequest) -> String {
    let until_ms = request.at_ms.saturating_add(PERMIT_MS);
    let (version, until) = (request.link.version.to_be_bytes(), until_ms.to_be_bytes());
    let message: [&[u8]; 3] = [request.link.id.as_bytes(), &version, &until];
    encode(until_ms, &services.visitors.permits.sign(&message))
}

/// Whether the request has a permit for the current version of the link.
fn is_permitted(services: &Services, request: &LinkRequest) -> bool {
    let query = request.parts.uri.query().and_then(|query| query.strip_prefix("permit="));
    let Some((until_ms, tag)) = query.and_then(|permit| decode(permit.as_bytes())) else {
        return false;
    };
    let (version, until) = (request.link.version.to_be_bytes(), until_ms.to_be_bytes());
    let message: [&[u8]; 3] = [request.link.id.as_bytes(), &version, &until];
    request.at_ms < until_ms && services.visitors.permits.is_signed(&message, &tag)
}
