//! Kutt.
//!
//! JSON is the response of `GET /api/v2/links` (thedevs-network/kutt,
//! `server/handlers/links.handler.js`, and `sanitize.link` of `server/utils/utils.js`). It tells
//! whether a link has a password, but not the password: such links are refused.

use serde_json::{Map, Value};

use super::csv::Columns;
use super::document::Shape;
use super::fields::{Fields, field};
use super::record::Mapped;
use crate::domain::link::LinkInput;

/// Where the API's response has the links.
pub(super) const SHAPE: Shape =
    Shape { path: &["data"], expected: "Kutt's API returns one under `data`" };

const DESTINATION: &[&str] = &["target"];

/// The columns of its database table; there is no other CSV.
pub(super) const COLUMNS: Columns = Columns {
    destination: DESTINATION,
    used: &[
        "address",
        "target",
        "description",
        "domain",
        "link",
        "expire_in",
        "password",
        "banned",
    ],
    silent: &["id", "uuid", "created_at", "updated_at", "visit_count", "user_id", "domain_id"],
};

pub(super) fn map(values: Map<String, Value>) -> Mapped {
    let mut fields = Fields::new(values);
    let short = fields.short_link(&["link"]);
    if fields.flag(&["banned"]).unwrap_or(false) {
        fields.refuse("banned", "the link is banned and is not imported");
    }
    let link = LinkInput {
        slug: field(fields.text(&["address"]).or(short.path)),
        destination: field(fields.text(DESTINATION)),
        notes: field(fields.text(&["description"])),
        expires_at: field(fields.moment(&["expire_in"])),
        password: field(fields.password("password", "is_protected")),
        ..LinkInput::default()
    };
    let host = fields.text(&["domain"]).or(short.host);
    fields.into_mapped(host, link)
}
