//! `/{slug}+`: where a link leads, for whoever wants to know before he follows it.
//!
//! It is no visit of the link: nothing is counted, and no gate asked but whether the link is in use
//! at all.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::answer::Moment;
use super::views::{PreviewPage, Shown};
use super::{Answer, Asked, not_found};
use crate::domain::destination::Location;
use crate::domain::link::{Block, Content, Kind, Link};
use crate::http::Services;

/// The slug in the name of a preview: before a plus sign, as it is or as some write it.
pub fn slug_of(name: &str) -> Option<&str> {
    ["+", "%2B", "%2b"].into_iter().find_map(|end| name.strip_suffix(end))
}

/// The page.
pub async fn page(services: &Services, asked: &Asked) -> Response {
    let Asked { link, parts, at_ms } = asked;
    let in_use = !matches!(link.fields.gates.closed_at(*at_ms), Block::Archived | Block::Disabled);
    if !in_use || link.fields.preview.hidden {
        return not_found(&parts.headers);
    }
    let is_protected = link.fields.gates.password().is_some();
    let address = address_of(link);
    let page = PreviewPage {
        slug: link.slug.as_str(),
        short_url: &short_url(services, link),
        title: link.fields.title.as_deref().filter(|_| !is_protected),
        shown: match &link.fields.content {
            _ if is_protected => Shown::Protected,
            Content::Url(_) => Shown::Address { host: host_of(&address), address: &address },
            Content::Page(payload) => Shown::Page(kind_in_words(payload.kind())),
        },
        created: Moment::at(link.created_at_ms),
        stats: stats(services, link).await,
    };
    Answer::page(StatusCode::OK, &page).into_response()
}

/// Clicks and visitors, where they may be seen and are known at the moment.
async fn stats(services: &Services, link: &Link) -> Option<(u64, u64)> {
    if !link.fields.preview.public_stats {
        return None;
    }
    let counts = services.analytics.counts(link.workspace, &[link.id]).await?;
    let counts = counts.get(&link.id).copied().unwrap_or_default();
    Some((counts.clicks, counts.visitors))
}

/// Where visitors are sent, in the letters of addresses alone: none that turns the direction of a
/// line, or looks like another, is shown as itself.
fn address_of(link: &Link) -> String {
    let location = link.fields.content.destination();
    let location = location.and_then(|url| Location::new(url, &link.fields.utm));
    location.map(|location| location.as_str().to_owned()).unwrap_or_default()
}

/// The host of such an address: it holds no credentials.
fn host_of(address: &str) -> &str {
    let rest = address.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// The link's own address.
pub fn short_url(services: &Services, link: &Link) -> String {
    let site = &services.site;
    match link.fields.domain.as_str() {
        "" => format!("{}/{}", site.base, link.slug),
        domain => format!("{}://{domain}/{}", site.scheme, link.slug),
    }
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
    fn the_host_is_what_stands_before_the_path() {
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
