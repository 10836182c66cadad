//! Bitly.
//!
//! JSON is the response of `GET /v4/groups/{group_guid}/bitlinks` (dev.bitly.com, API reference,
//! "Retrieve Bitlinks by Group"). CSV is the export of the app's list of links, with the columns
//! `Link`, `Custom Link` and `Destination URL` according to URLR's migration guide
//! (URLR/urlr-docs, `migration/bitly.md`); the API's field names are accepted as columns, too.

use serde_json::{Map, Value};

use super::fields::{Fields, field, split_tags};
use super::record::{Mapped, Product};
use super::short_link::ShortLink;
use crate::domain::link::LinkInput;

const DESTINATION: &str = "long_url destination_url destination";
const CUSTOM: &str = "custom_link custom_bitlink custom_bitlinks custom_links";
const SHORT: &str = "link id bitlink short_link short_url";

/// The columns of the app's export, and the API's response.
pub(super) static PRODUCT: Product = Product {
    destination: DESTINATION,
    used: "custom_link custom_bitlink custom_bitlinks custom_links link id bitlink short_link \
        short_url title tags archived",
    silent: "created created_at created_date date_created clicks engagements",
    path: &["links"],
    expected: "Bitly's API returns one under `links`",
    map,
    has_dumps: false,
};

fn map(values: Map<String, Value>) -> Mapped {
    let mut fields = Fields::new(values);
    // Custom back-halves take precedence over the generated one.
    let mut all = match fields.take(CUSTOM) {
        Some((_, Value::Array(all))) => {
            all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        Some((_, Value::String(all))) => split_tags(&all.replace(['|', ' '], ","), ','),
        _ => Vec::new(),
    };
    all.extend(fields.text(SHORT));
    let short = all.first().map(|first| ShortLink::parse(first)).unwrap_or_default();
    if let Some(others) = all.get(1..).filter(|others| !others.is_empty()) {
        let text = format!("its other short links are not imported: {}", others.join(", "));
        fields.warn("slug", text);
    }
    let mut link = LinkInput {
        slug: field(short.path),
        destination: field(fields.text(DESTINATION)),
        title: field(fields.text("title")),
        tags: field(fields.tags("tags", ',')),
        archived: field(fields.flag("archived")),
        expires_at: field(fields.timestamp("expiration_at")),
        password: field(fields.password("password", "password_protected")),
        ..LinkInput::default()
    };
    for app in fields.list("deeplinks") {
        deep_link(&mut link, &app);
    }
    fields.into_mapped(short.host, link)
}

/// An app's deep link. A path without a scheme needs Bitly's SDK and is ignored.
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
