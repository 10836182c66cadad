//! The user guides: the Markdown files of this folder and `ops/README.md`, rendered at
//! `/docs/guides`.
//!
//! Links between guides are relative links to `.md` files, as a code host resolves them; here they
//! become paths. Links to files that are not served keep their text only.

use std::collections::HashMap;
use std::iter::once;
use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};
use sha2::{Digest, Sha256};

use super::Services;
use crate::domain::error::ServiceError;

const INDEX: &str = "/docs/guides";
const STYLE: &str = include_str!("style.css");
const CACHED_BRIEFLY: HeaderValue = HeaderValue::from_static("public, max-age=300");
const OPERATION_FILE: &str = "ops/README.md";

/// Each guide's name and text, in reading order.
const GUIDES: &[(&str, &str)] = &[
    ("quick-start", include_str!("quick-start.md")),
    ("links", include_str!("links.md")),
    ("redirects", include_str!("redirects.md")),
    ("qr-codes", include_str!("qr-codes.md")),
    ("domains", include_str!("domains.md")),
    ("analytics", include_str!("analytics.md")),
    ("clicks", include_str!("clicks.md")),
    ("bulk", include_str!("bulk.md")),
    ("command-line", include_str!("command-line.md")),
    ("history", include_str!("history.md")),
    ("accounts", include_str!("accounts.md")),
    ("tokens", include_str!("tokens.md")),
    ("plans", include_str!("plans.md")),
    ("compatibility", include_str!("compatibility.md")),
    ("pages", include_str!("pages.md")),
    ("operation", include_str!("../../../ops/README.md")),
];

static PAGES: LazyLock<HashMap<&str, Page>> = LazyLock::new(|| {
    let guides = GUIDES.iter().map(|(name, markdown)| (*name, Page::render(markdown)));
    guides.chain(once(("", Page::render(&index_markdown())))).collect()
});

/// No scripts, nothing external; the one style by its hash.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'none'; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// Routes of `/docs/guides` and of the guides.
pub fn router() -> Router<Services> {
    let to_index = || async { Redirect::temporary(INDEX) };
    Router::new()
        .route("/docs", get(to_index))
        .route("/docs/", get(to_index))
        .route("/docs/guides/", get(to_index))
        .route(INDEX, get(|headers: HeaderMap| async move { answer("", &headers) }))
        .route(
            "/docs/guides/{name}",
            get(|name: Path<String>, headers: HeaderMap| async move { answer(&name, &headers) }),
        )
}

fn answer(name: &str, headers: &HeaderMap) -> Response {
    let page = PAGES.get(name);
    page.map_or_else(
        || ServiceError::not_found("guide").into_response(),
        |page| page.answer(headers),
    )
}

/// A rendered guide.
struct Page {
    html: String,
    etag: HeaderValue,
}

impl Page {
    fn render(markdown: &str) -> Self {
        let (title, _) = title_and_summary(markdown);
        let mut html = String::from(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>",
        );
        html::push_html(&mut html, once(Event::Text(title.into())));
        html.push_str(" · slugline</title>\n<style>");
        html.push_str(STYLE);
        html.push_str("</style>\n<nav><a href=\"");
        html.push_str(INDEX);
        html.push_str("\">Guides</a> <a href=\"/api/v1/docs/\">API reference</a></nav>\n<main>\n");
        html::push_html(&mut html, events(markdown).into_iter());
        html.push_str("</main>\n</html>\n");
        let digest = BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(&html)[..12]);
        let etag = HeaderValue::try_from(format!("\"{digest}\""));
        Self { html, etag: etag.unwrap_or(HeaderValue::from_static("\"\"")) }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let caching = [(CACHE_CONTROL, CACHED_BRIEFLY), (ETAG, self.etag.clone())];
        if headers.get(IF_NONE_MATCH) == Some(&self.etag) {
            return (StatusCode::NOT_MODIFIED, caching).into_response();
        }
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        let kind = [(CONTENT_TYPE, html), (CONTENT_SECURITY_POLICY, POLICY.clone())];
        (kind, caching, self.html.clone()).into_response()
    }
}

/// A guide's first heading and the paragraph below it.
fn title_and_summary(markdown: &str) -> (&str, &str) {
    let mut lines = markdown.lines().filter(|line| !line.is_empty());
    let title = lines.next().unwrap_or_default().trim_start_matches("# ");
    (title, lines.next().unwrap_or_default())
}

fn index_markdown() -> String {
    let line = |(name, markdown): &(&str, &str)| {
        let (title, summary) = title_and_summary(markdown);
        let is_operation = *name == "operation";
        let file = if is_operation { OPERATION_FILE.to_owned() } else { format!("{name}.md") };
        format!("- **[{title}]({file})**: {summary}\n")
    };
    once("# slugline guides\n\n".to_owned()).chain(GUIDES.iter().map(line)).collect()
}

/// Parses Markdown for rendering: drops raw HTML, resolves links, and adds an ID to each heading.
fn events(markdown: &str) -> Vec<Event<'_>> {
    let mut events = Vec::new();
    let (mut is_dropped, mut heading, mut heading_text) = (false, None, String::new());
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        if let (Some(_), Event::Text(text) | Event::Code(text)) = (heading, &event) {
            heading_text.push_str(text);
        }
        match event {
            Event::Html(_) | Event::InlineHtml(_) => {}
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                match served_target(&dest_url) {
                    Some(dest_url) => {
                        events.push(Event::Start(Tag::Link { link_type, dest_url, title, id }));
                    }
                    None => is_dropped = true,
                }
            }
            Event::End(TagEnd::Link) if is_dropped => is_dropped = false,
            Event::Start(Tag::Heading { .. }) => {
                heading = Some(events.len());
                events.push(event);
            }
            Event::End(TagEnd::Heading(_)) => {
                events.push(event);
                let start = heading.take().and_then(|at| events.get_mut(at));
                if let Some(Event::Start(Tag::Heading { id, .. })) = start {
                    *id = Some(fragment(&std::mem::take(&mut heading_text)).into());
                }
            }
            event => events.push(event),
        }
    }
    events
}

/// The target of a link here; `None` if the file is not served.
fn served_target<'a>(target: &str) -> Option<CowStr<'a>> {
    let (file, fragment) = target.split_at(target.find('#').unwrap_or(target.len()));
    if file.is_empty() || file.starts_with('/') || file.contains("://") {
        return Some(target.to_owned().into());
    }
    let name = match file.rsplit('/').next().and_then(|name| name.strip_suffix(".md")) {
        Some("README") if file.ends_with(OPERATION_FILE) => "operation",
        name => name?,
    };
    let is_served = GUIDES.iter().any(|(guide, _)| *guide == name);
    is_served.then(|| format!("{INDEX}/{name}{fragment}").into())
}

/// A heading's ID in links, as code hosts make it.
fn fragment(heading: &str) -> String {
    let kept = |letter: &char| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_');
    heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}
