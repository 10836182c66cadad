//! Our own formats: CSV with a column for each field of a link, and NDJSON with links as in the API.
//! Any other CSV with a header is read the same way, with common aliases of the field names.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::fields::{as_flag, as_timestamp, folded, split_tags};
use super::record::{Mapped, Product};
use super::short_link::ShortLink;
use crate::domain::deserialize_error::plain;
use crate::domain::link::{CellFormat, Field, LINK_FIELDS, LinkInput};

/// Aliases of fields. A field's own name takes precedence.
const ALIASES: &[(&str, &str)] = &[
    ("destination", DESTINATION),
    (
        "slug",
        "keyword short_code back_half alias custom_alias key slashtag custom_slug short_id path",
    ),
    ("domain", "host hostname domain_name"),
    ("title", "name"),
    ("notes", "description comment comments"),
    ("tags", "tag labels"),
    ("starts_at", "valid_since start_date"),
    ("expires_at", "valid_until expires expiration_date expiry_date"),
    ("max_clicks", "max_visits click_limit"),
    ("redirect_status", "status_code redirect_type"),
];

/// Names of the full short link.
const SHORT_URLS: &str =
    "short_url short_link shortened_url secure_short_url tiny_url bitlink short link id";

/// Read-only fields of API responses and exports.
const READ_ONLY: &str = "id short_url clicks unique_visitors created_at updated_at version \
    has_password deleted_at restorable_until";

/// Read-only, too; but a protected link without its password would become public.
const HAS_PASSWORD: &str = "has_password";

/// Names of the destination column.
pub(super) const DESTINATION: &str =
    "destination long_url url target target_url destination_url original_url redirect_url";

/// The CSV columns; there are no JSON documents.
pub(super) fn product() -> Product {
    static USED: LazyLock<String> = LazyLock::new(|| {
        let fields = LINK_FIELDS.iter().map(|(name, _)| *name);
        let names = fields.chain(ALIASES.iter().map(|(_, names)| *names)).chain([SHORT_URLS]);
        names.collect::<Vec<_>>().join(" ")
    });
    Product {
        destination: DESTINATION,
        used: &USED,
        silent: READ_ONLY,
        path: &[],
        expected: "",
        map: csv,
        has_dumps: false,
    }
}

/// Maps a CSV record with normalized column names.
pub(super) fn csv(mut cells: Map<String, Value>) -> Mapped {
    let mut values = Map::new();
    let mut refused = Vec::new();
    let has_password = cells.remove(&folded(HAS_PASSWORD));
    let short_url = SHORT_URLS.split_ascii_whitespace().find_map(|column| {
        let cell = cells.remove(&folded(column));
        let text = cell.as_ref().and_then(Value::as_str).filter(|text| !text.trim().is_empty())?;
        // Bitly's id is the short link; other ids are not.
        let is_link = || text.contains('/') && ShortLink::parse(text).host.is_some();
        (column != "id" || is_link()).then(|| (column, text.to_owned()))
    });
    for &(name, format) in LINK_FIELDS {
        let aliases = ALIASES.iter().filter(|(of, _)| *of == name);
        let aliases = aliases.flat_map(|(_, names)| names.split_ascii_whitespace());
        let names = std::iter::once(name).chain(aliases);
        let mut found = names.filter_map(|name| Some((name, cells.remove(&folded(name))?)));
        let Some((column, Value::String(text))) = found.next() else { continue };
        match value(format, text) {
            Ok(value) => drop(values.insert(name.to_owned(), value)),
            Err(reason) => refused.push((column.to_owned(), reason)),
        }
    }
    if let Some(Value::String(text)) = has_password {
        values.insert(HAS_PASSWORD.to_owned(), Value::Bool(as_flag(&text).unwrap_or(true)));
    }
    let mut mapped = link(values, short_url);
    refused.append(&mut mapped.refused);
    mapped.refused = refused;
    mapped
}

/// Maps a link as in the API.
pub(super) fn ndjson(values: Map<String, Value>) -> Mapped {
    let short_url = values.get("short_url").and_then(Value::as_str);
    let short_url = short_url.map(|text| ("short_url", text.to_owned()));
    link(values, short_url)
}

/// Maps a link from its values and the full short link with the name of its column.
fn link(mut values: Map<String, Value>, short_url: Option<(&str, String)>) -> Mapped {
    let (mut refused, mut warnings) = (Vec::new(), Vec::new());
    values.retain(|_, value| !value.is_null());
    let has_password = values.remove(HAS_PASSWORD).is_some_and(|value| value != Value::Bool(false));
    if has_password && !values.contains_key("password") {
        let reason = "the link has a password, which exports never contain: importing it would make \
        it public. Add the field, with a password";
        refused.push(("password".to_owned(), reason.to_owned()));
    }
    values.retain(|name, _| {
        let is_field = LINK_FIELDS.iter().any(|(field, _)| field == name);
        if !is_field && !READ_ONLY.split_ascii_whitespace().any(|read_only| read_only == name) {
            let shown = name.chars().take(64).collect();
            refused.push((shown, "is not a field of a link".to_owned()));
        }
        is_field
    });
    let text = |value: Option<Value>| value.and_then(|value| Some(value.as_str()?.to_owned()));
    let domain = values.remove("domain");
    if domain.as_ref().is_some_and(|domain| !domain.is_string()) {
        refused.push(("domain".to_owned(), "must be a string".to_owned()));
    }
    let short_host = take_slug(&mut values, short_url, &mut refused, &mut warnings);
    let host = text(domain).or(short_host);
    let found = [text(values.get("slug").cloned()), text(values.get("destination").cloned())];
    let mut link = match serde_path_to_error::deserialize(Value::Object(values)) {
        Ok(link) => link,
        Err(error) => {
            let path = error.path().to_string();
            // The parser's message repeats the value, which must not happen for a password.
            let is_secret = path == "password";
            let message = plain(&error.into_inner().to_string());
            refused.push((path, if is_secret { "must be a string".to_owned() } else { message }));
            let [slug, destination] = found.map(super::fields::field);
            LinkInput { slug, destination, ..LinkInput::default() }
        }
    };
    // Rule ids are assigned by the service: imported rules get new ones.
    if let Field::Value(rules) = &mut link.rules {
        for rule in rules {
            rule.id = None;
        }
    }
    Mapped { host, link, refused, warnings }
}

/// Takes the slug from the full short link if no other field has it; returns the link's host. The
/// slug field may also have a full short link.
fn take_slug(
    values: &mut Map<String, Value>,
    mut short_url: Option<(&str, String)>,
    refused: &mut Vec<(String, String)>,
    warnings: &mut Vec<(String, String)>,
) -> Option<String> {
    let slug = values.get("slug").and_then(Value::as_str).map(str::trim);
    let mut slug = slug.filter(|slug| !slug.is_empty()).map(str::to_owned);
    if let Some(full) = slug.take_if(|slug| slug.contains('/')) {
        values.remove("slug");
        short_url = Some(("slug", full));
    }
    let (column, text) = short_url?;
    let ShortLink { host, path, query } = ShortLink::parse(&text);
    match (slug, path) {
        (None, None) => {
            let reason = format!("`{text}` has no path that could be the slug");
            refused.push((column.to_owned(), reason));
        }
        (None, Some(path)) => {
            if let Some(query) = query {
                let warning = format!("`{path}` is used as the slug, without `{query}`");
                warnings.push((column.to_owned(), warning));
            }
            values.insert("slug".to_owned(), Value::String(path));
        }
        (Some(slug), Some(path)) if slug != path => {
            let warning = format!("`{slug}` is used; {column} has `{path}`");
            warnings.push(("slug".to_owned(), warning));
        }
        (Some(_), _) => {}
    }
    host
}

/// Parses a column's value.
fn value(format: CellFormat, text: String) -> Result<Value, String> {
    let wrong = |reason: &str| reason.to_owned();
    match format {
        CellFormat::Text => Ok(Value::String(text)),
        CellFormat::Flag => {
            as_flag(&text).map(Value::Bool).ok_or_else(|| wrong("must be true or false"))
        }
        CellFormat::Number => {
            let number = text.trim().parse::<u64>();
            number.map(Value::from).map_err(|_| wrong("must be a whole number"))
        }
        CellFormat::Timestamp => {
            let moment = as_timestamp(&text).map(Value::String);
            moment.ok_or_else(|| wrong("must be a date and time (2026-12-01T00:00:00Z)"))
        }
        CellFormat::Tags => Ok(Value::from(split_tags(&text, ','))),
        CellFormat::Json => {
            serde_json::from_str(&text).map_err(|error| format!("is not JSON: {error}"))
        }
    }
}
