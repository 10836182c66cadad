//! `/{slug}+`: where a link leads, for whoever wants to know before he follows it.
//!
//! It is no visit of the link, and nothing is counted: so it says of a link that is not open to
//! everybody at the moment only that it isn't.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::answer::Moment;
use super::views::{PreviewPage, Shown};
use super::{Answer, LinkRequest, not_found};
use crate::domain::link::{Block, Content, Kind, Link};
use crate::http::Services;

/// The slug in the name of a preview: before a plus sign, as it is or as some write it.
pub fn slug_of(name: &str) -> Option<&str> {
    ["+", "%2B", "%2b"].into_iter().find_map(|end| name.strip_suffix(end))
}

/// The page.
pub async fn page(services: &Services, asked: &LinkRequest) -> Response {
    let LinkRequest { link, parts, .. } = asked;
    let block = asked.block_of_visit(services);
    if matches!(block, Block::Archived | Block::Disabled) || link.fields.preview.hidden {
        return not_found(&parts.headers);
    }
    let address = asked.location().unwrap_or_default();
    let shown = match (&link.fields.content, unshown(link, block)) {
        (_, Some(why)) => Shown::Nothing(why),
        (Content::Url(_), None) => Shown::Address { host: host_of(&address), address: &address },
        (Content::Page(payload), None) => Shown::Page(kind_in_words(payload.kind())),
    };
    let page = PreviewPage {
        slug: link.slug.as_str(),
        short_url: &short_url(services, link),
        title: link.fields.title.as_deref().filter(|_| !matches!(shown, Shown::Nothing(_))),
        shown,
        created: Moment::at(link.created_at_ms),
        stats: stats(services, link).await,
    };
    Answer::page(StatusCode::OK, &page).into_response()
}

/// Why the page doesn't tell where the link leads, if it doesn't: no more than a visit would be
/// told, and nothing of which each telling has to count.
fn unshown(link: &Link, block: Block) -> Option<&'static str> {
    let gates = &link.fields.gates;
    match block {
        Block::NotStarted => Some("Nothing yet: it is not open."),
        Block::Expired => Some("Nothing any more: it has expired."),
        Block::LimitReached => Some("Nothing any more: it has been used up."),
        _ if gates.password().is_some() => Some("It is protected with a password."),
        _ if gates.limit.is_some() => {
            Some("It opens for a limited number of visits, and tells these alone.")
        }
        _ => None,
    }
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

/// The host of a [location](Asked::location): it holds no credentials.
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
