//! `/{slug}+`: a preview of a link's destination.
//!
//! A preview is not a visit, and is not counted, so it does not reveal the destination of links
//! that are not open to everybody.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::answer::PageTime;
use super::views::{PreviewPage, Shown};
use super::{Answer, LinkRequest, not_found};
use crate::domain::link::{Block, Content, Kind, Link};
use crate::http::Services;

/// The slug in the path of a preview: before a plus sign, plain or percent-encoded.
pub fn slug_of(name: &str) -> Option<&str> {
    ["+", "%2B", "%2b"].into_iter().find_map(|end| name.strip_suffix(end))
}

/// Shows the page.
pub async fn page(services: &Services, request: &LinkRequest) -> Response {
    let LinkRequest { link, parts, .. } = request;
    let block = request.block_of_visit(services);
    if matches!(block, Block::Archived | Block::Disabled) || link.fields.preview.hidden {
        return not_found(&parts.headers);
    }
    let address = request.location().unwrap_or_default();
    let shown = match (&link.fields.content, hidden_reason(link, block)) {
        (_, Some(why)) => Shown::Nothing(why),
        (Content::Url(_), None) => Shown::Address { host: host_of(&address), address: &address },
        (Content::Page(payload), None) => Shown::Page(kind_in_words(payload.kind())),
    };
    let page = PreviewPage {
        slug: link.slug.as_str(),
        short_url: &short_url(services, link),
        title: link.fields.title.as_deref().filter(|_| !matches!(shown, Shown::Nothing(_))),
        shown,
        created: PageTime::at(link.created_at_ms),
        stats: stats(services, link).await,
    };
    Answer::page(StatusCode::OK, &page).into_response()
}

/// Why the preview does not reveal the destination, if so: it reveals no more than a visit would,
/// and nothing that must be counted.
fn hidden_reason(link: &Link, block: Block) -> Option<&'static str> {
    let gates = &link.fields.gates;
    match block {
        Block::NotStarted => Some("It is not open yet."),
        Block::Expired => Some("It has expired."),
        Block::LimitReached => Some("It has been used up."),
        _ if gates.password().is_some() => Some("It is protected with a password."),
        _ if gates.limit.is_some() => {
            Some("It opens for a limited number of visits, and is revealed only to these.")
        }
        _ => None,
    }
}

/// Clicks and visitors, if they are public and available.
async fn stats(services: &Services, link: &Link) -> Option<(u64, u64)> {
    if !link.fields.preview.public_stats {
        return None;
    }
    let counts = services.analytics.counts(link.workspace, &[link.id]).await?;
    let counts = counts.get(&link.id).copied().unwrap_or_default();
    Some((counts.clicks, counts.visitors))
}

/// The host of a [location](LinkRequest::location), which contains no credentials.
fn host_of(address: &str) -> &str {
    let rest = address.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// The link's short URL.
pub fn short_url(services: &Services, link: &Link) -> String {
    services.site.short_url(&link.fields.domain, link.slug.as_str())
}

const fn kind_in_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Url => "An address",
        Kind::Wifi => "The name and the password of a Wi-Fi network",
        Kind::Vcard => "A business card",
        Kind::Text => "A text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_before_the_path() {
        for (address, host) in [
            ("https://example.com/a@evil.example", "example.com"),
            ("https://example.com:8443?x=//evil.example/", "example.com:8443"),
            ("", ""),
        ] {
            assert_eq!(host_of(address), host);
        }
    }

    #[test]
    fn a_plus_sign_asks_for_the_preview() {
        for (name, slug) in [
            ("abc+", Some("abc")),
            ("abc%2B", Some("abc")),
            ("abc%2b", Some("abc")),
            ("+", Some("")),
            ("abc", None),
            ("a+b", None),
        ] {
            assert_eq!(slug_of(name), slug, "{name}");
        }
    }
}
