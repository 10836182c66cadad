//! Kutt.
//!
//! JSON is the response of `GET /api/v2/links` (thedevs-network/kutt,
//! `server/handlers/links.handler.js`, and `sanitize.link` of `server/utils/utils.js`). It tells
//! whether a link has a password, but not the password: such links are refused.

use serde_json::{Map, Value};

use super::fields::{Fields, field};
use super::record::{Mapped, Product};
use crate::domain::link::LinkInput;

const DESTINATION: &str = "target";

/// The columns of its database table, since there is no other CSV, and the API's response.
pub(super) static PRODUCT: Product = Product {
    destination: DESTINATION,
    used: "address description domain link expire_in password banned",
    silent: "id uuid created_at updated_at visit_count user_id domain_id",
    path: &["data"],
    expected: "Kutt's API returns one under `data`",
    map,
    has_dumps: false,
};

fn map(values: Map<String, Value>) -> Mapped {
    let mut fields = Fields::new(values);
    let short = fields.short_link("link");
    if fields.flag("banned").unwrap_or(false) {
        fields.refuse("banned", "the link is banned and is not imported");
    }
    let link = LinkInput {
        slug: field(fields.text("address").or(short.path)),
        destination: field(fields.text(DESTINATION)),
        notes: field(fields.text("description")),
        expires_at: field(fields.timestamp("expire_in")),
        password: field(fields.password("password", "is_protected")),
        ..LinkInput::default()
    };
    let host = fields.text("domain").or(short.host);
    fields.into_mapped(host, link)
}
