//! Bitly.
//!
//! JSON is the answer of `GET /v4/groups/{group_guid}/bitlinks` (dev.bitly.com, API reference,
//! "Retrieve Bitlinks by Group"). CSV is the export of the app's list of links, whose columns
//! `Link`, `Custom Link` and `Destination URL` are described in URLR's guide for migrations
//! (URLR/urlr-docs, `migration/bitly.md`); the names of the API are taken in it, too.

use serde_json::{Map, Value};

use super::csv::Columns;
use super::document::Shape;
use super::fields::{Fields, field, split_short_url};
use super::record::Mapped;
use crate::domain::link::LinkInput;

/// Where the API's answer has the links.
pub(super) const SHAPE: Shape =
    Shape { path: &["links"], expected: "Bitly's API answers with one under `links`" };

const DESTINATION: &[&str] = &["long_url", "destination_url", "destination"];
const CUSTOM: &[&str] = &["custom_link", "custom_bitlink", "custom_bitlinks", "custom_links"];
const SHORT: &[&str] = &["link", "id", "bitlink", "short_link", "short_url"];

/// The columns of the app's export.
pub(super) const COLUMNS: Columns = Columns {
    destination: DESTINATION,
    used: &[
        "long_url",
        "destination_url",
        "destination",
        "custom_link",
        "custom_bitlink",
        "custom_bitlinks",
        "custom_links",
        "link",
        "id",
        "bitlink",
        "short_link",
        "short_url",
        "title",
        "tags",
        "archived",
    ],
    silent: &["created", "created_at", "created_date", "date_created", "clicks", "engagements"],
};

/// A link.
pub(super) fn map(values: Map<String, Value>) -> Mapped {
    let mut fields = Fields::new(values);
    let random = fields.text(SHORT);
    // The back-half that somebody chose goes before the one that was drawn.
    let custom = match fields.take(CUSTOM) {
        Some((_, Value::Array(all))) => all.first().and_then(Value::as_str).map(ToOwned::to_owned),
        Some((_, Value::String(all))) => {
            let mut each = all.split([',', '|', ' ']).map(str::trim).filter(|one| !one.is_empty());
            each.next().map(ToOwned::to_owned)
        }
        _ => None,
    };
    let (host, slug) = custom.or(random).as_deref().and_then(split_short_url).unzip();
    let mut link = LinkInput {
        slug: field(slug.filter(|slug| !slug.is_empty())),
        destination: field(fields.text(DESTINATION)),
        title: field(fields.text(&["title"])),
        tags: field(fields.tags(&["tags"], ',')),
        archived: field(fields.flag(&["archived"])),
        expires_at: field(fields.moment(&["expiration_at"])),
        password: field(fields.password("password", "password_protected")),
        ..LinkInput::default()
    };
    for app in fields.list("deeplinks") {
        deep_link(&mut link, &app);
    }
    Mapped { host, link, refused: fields.into_refused() }
}

/// An app's own address. One that has a path only can't be opened without Bitly's SDK.
fn deep_link(link: &mut LinkInput, app: &Value) {
    let text = |name: &str| app.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let address = text("app_uri_path");
    if !address.contains("://") {
        return;
    }
    let store = Some(text("install_url")).filter(|url| !url.is_empty());
    match text("os").to_ascii_lowercase().as_str() {
        "ios" => {
            link.ios_url = field(Some(address));
            link.ios_store_url = field(store);
        }
        "android" => {
            link.android_url = field(Some(address));
            link.android_store_url = field(store);
        }
        _ => {}
    }
}
