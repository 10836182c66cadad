//! Shlink.
//!
//! JSON is the response of `GET /rest/v3/short-urls` (shlinkio/shlink,
//! `docs/swagger/definitions/ShortUrl.json` and `ShortUrlMeta.json`). CSV is the export of the web
//! client (shlinkio/shlink-web-component, `src/short-urls/helpers/ExportShortUrlsBtn.tsx`), with `|`
//! between tags. Older web clients had no `shortCode`, and commas between tags
//! (shlinkio/shlink-web-client, the same file). Redirect rules are a separate response; they are
//! imported if they were added to the link as `redirectRules`.

use serde_json::{Map, Value};

use super::fields::{Fields, field};
use super::record::{Mapped, Product};
use super::shlink_rules;
use crate::domain::link::LinkInput;

const DESTINATION: &str = "longUrl";

/// The columns of the web client's export, and the API's response.
pub(super) static PRODUCT: Product = Product {
    destination: DESTINATION,
    used: "shortCode shortUrl domain title tags",
    silent: "createdAt visits",
    path: &["shortUrls", "data"],
    expected: "Shlink's API returns one under `shortUrls.data`",
    map,
    has_dumps: false,
};

fn map(values: Map<String, Value>) -> Mapped {
    let mut fields = Fields::new(values);
    let short = fields.short_link("shortUrl");
    let short_code = fields.text("shortCode");
    let separator = if short_code.is_some() { '|' } else { ',' };
    let mut link = LinkInput {
        slug: field(short_code.or(short.path)),
        destination: field(fields.text(DESTINATION)),
        title: field(fields.text("title")),
        tags: field(fields.tags("tags", separator)),
        noindex: field(fields.flag("crawlable").map(|is_listed| !is_listed)),
        forward_query: field(fields.flag("forwardQuery")),
        ..LinkInput::default()
    };
    let visits = visits(&mut fields);
    let mut meta = Fields::new(fields.object("meta").unwrap_or_default());
    link.starts_at = field(meta.timestamp("validSince"));
    link.expires_at = field(meta.timestamp("validUntil"));
    link.max_clicks = field(meta.number("maxVisits").map(|max| max.saturating_sub(visits)));
    if link.max_clicks == field(Some(0)) {
        meta.refuse("maxVisits", "the link has used up its visits");
    }
    for (name, reason) in meta.refused {
        fields.refuse(&format!("meta.{name}"), reason);
    }
    link.rules = field(shlink_rules::rules(&mut fields));
    let host = fields.text("domain").or(short.host);
    fields.into_mapped(host, link)
}

/// Number of visits so far.
fn visits(fields: &mut Fields) -> u64 {
    let summary = fields.object("visitsSummary").unwrap_or_default();
    let total = summary.get("total").and_then(Value::as_u64);
    total.or(fields.number("visitsCount")).unwrap_or(0)
}
