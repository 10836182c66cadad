//! YOURLS.
//!
//! The columns are those of its table of links (YOURLS/YOURLS, `includes/functions-install.php`):
//! `keyword,url,title,timestamp,ip,clicks`, in CSV and in dumps of the database. The plugin
//! GautamGupta/YOURLS-Import-Export (`fileio/csv.php`) calls them `source,target,hits`. JSON is
//! the response of the API's `action=stats` (`includes/functions-api.php`), with the links in an
//! object: `link_1`, `link_2`, …. The creator's IP address is not imported.

use serde_json::{Map, Value};

use super::fields::{Fields, field};
use super::record::{Mapped, Product};
use crate::domain::link::LinkInput;

const DESTINATION: &str = "url target longurl";

/// The columns of the export plugins, and the API's response.
pub(super) static PRODUCT: Product = Product {
    destination: DESTINATION,
    used: "keyword source shorturl title",
    silent: "timestamp ip clicks hits",
    path: &["links"],
    expected: "YOURLS' API returns one under `links`",
    map,
    has_dumps: true,
};

fn map(values: Map<String, Value>) -> Mapped {
    let mut fields = Fields::new(values);
    let short = fields.short_link("shorturl");
    // YOURLS may be installed in a subfolder: the keyword is the last segment.
    let path = short.path.and_then(|path| path.rsplit('/').next().map(str::to_owned));
    let keyword = fields.text("keyword source");
    let keyword = keyword.map(|keyword| keyword.trim_matches('/').to_owned());
    let link = LinkInput {
        slug: field(keyword.or(path)),
        destination: field(fields.text(DESTINATION)),
        title: field(fields.text("title")),
        ..LinkInput::default()
    };
    fields.into_mapped(short.host, link)
}
