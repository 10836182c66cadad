//! Detects the format of a file by the field names in its first bytes.

use std::collections::HashSet;

use super::csv::delimiter;
use super::fields::folded;
use super::{Format, bitly, own};

/// How many bytes are examined.
const HEAD_BYTES: usize = 64 * 1024;

/// Detects the format of a file by its first bytes.
pub(super) fn format(first_bytes: &[u8]) -> Option<Format> {
    let head = first_bytes.get(..HEAD_BYTES).unwrap_or(first_bytes);
    let head = String::from_utf8_lossy(head);
    let head = head.trim_start_matches('\u{feff}').trim_start();
    if head.starts_with(['{', '[']) {
        return of_keys(head);
    }
    if is_dump(head) {
        let is_links = head.contains("_url`") && head.contains("keyword");
        return is_links.then_some(Format::Yourls);
    }
    of_header(head)
}

/// Whether a text starts like a database dump.
pub(super) fn is_dump(head: &str) -> bool {
    let word = head.split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or_default();
    let words = ["create", "drop", "set", "insert", "lock", "use", "start", "begin"];
    let is_word = words.iter().any(|known| known.eq_ignore_ascii_case(word));
    // A column may have such a name, but is not followed by a space.
    let is_followed = head.get(word.len()..).is_some_and(|rest| rest.starts_with(' '));
    head.starts_with("--") || head.starts_with("/*") || (is_word && is_followed)
}

fn of_keys(head: &str) -> Option<Format> {
    let keys = keys(head);
    let has = |names: &[&str]| names.iter().all(|name| keys.contains(*name));
    if has(&["shortUrls"]) || has(&["shortCode", "longUrl"]) {
        Some(Format::Shlink)
    } else if has(&["long_url", "custom_bitlinks"]) || has(&["long_url", "deeplinks"]) {
        Some(Format::Bitly)
    } else if has(&["key", "url", "shortLink"]) || has(&["domain", "key", "url", "externalId"]) {
        Some(Format::Dub)
    } else if has(&["address", "target", "visit_count"]) {
        Some(Format::Kutt)
    } else if has(&["link_1", "shorturl"]) {
        Some(Format::Yourls)
    } else if head.starts_with('{') && has(&["slug", "destination"]) && !has(&["data"]) {
        Some(Format::Ndjson)
    } else {
        None
    }
}

/// The field names of all objects.
fn keys(json: &str) -> HashSet<&str> {
    let mut keys = HashSet::new();
    let mut rest = json;
    while let Some((_, text)) = rest.split_once('"') {
        let mut is_escaped = false;
        let end = text.find(|letter| {
            let ends = letter == '"' && !is_escaped;
            is_escaped = letter == '\\' && !is_escaped;
            ends
        });
        let Some((key, behind)) =
            end.and_then(|end| Some((text.get(..end)?, text.get(end + 1..)?)))
        else {
            break;
        };
        if behind.trim_start().starts_with(':') {
            keys.insert(key);
        }
        rest = behind;
    }
    keys
}

fn of_header(head: &str) -> Option<Format> {
    let separator = char::from(delimiter(head.as_bytes()));
    let names = head.lines().next()?.split(separator);
    let names: HashSet<_> = names.map(|name| folded(name.trim().trim_matches('"'))).collect();
    let has = |wanted: &[&str]| wanted.iter().all(|name| names.contains(&folded(name)));
    let has_one =
        |wanted: &str| wanted.split_ascii_whitespace().any(|name| names.contains(&folded(name)));
    if has(&["shortUrl", "longUrl", "createdAt", "visits"])
        || has(&["shortCode", "longUrl"]) && has_one("createdAt visits")
    {
        Some(Format::Shlink)
    } else if has_one("bitlink custom_link custom_bitlinks") && has_one(bitly::PRODUCT.destination)
    {
        Some(Format::Bitly)
    } else if has(&["short link", "destination url"]) || has(&["domain", "key", "url"]) {
        Some(Format::Dub)
    } else if has(&["keyword", "url"]) && has_one("timestamp ip clicks")
        || has(&["source", "target", "hits"])
    {
        Some(Format::Yourls)
    } else if has(&["address", "target", "visit_count"]) {
        Some(Format::Kutt)
    } else if has_one(own::DESTINATION) {
        Some(Format::Csv)
    } else {
        None
    }
}
