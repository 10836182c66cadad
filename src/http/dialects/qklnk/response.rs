//! Responses of qklnk, in the order of its documents.

use serde_json::{Value, json};

use crate::commands::accounts::Profile;
use crate::http::dialects::links::ShownLink;
use crate::http::dialects::time::formatted;
use crate::queries::analytics::Counts;

/// A time, as `2024-01-15T10:30:00Z`.
fn time(at_ms: u64) -> String {
    formatted(at_ms, "%Y-%m-%dT%H:%M:%SZ")
}

/// The caller.
pub fn user(number: u64, profile: Profile) -> Value {
    let Profile { name, email, created_at_ms, .. } = profile;
    let (name, email) = (name.unwrap_or_default(), email.unwrap_or_default());
    json!({ "id": number, "name": name, "email": email, "created_at": time(created_at_ms) })
}

/// A new link, or one of a list.
pub fn created(shown: &ShownLink) -> Value {
    json!({
        "id": shown.number,
        "slug": shown.link.slug.as_str(),
        "short_url": shown.short_url,
        "destination": shown.destination(),
        "clicks": shown.clicks(),
        "created_at": time(shown.link.created_at_ms),
    })
}

/// A page of links.
pub fn listed(shown: &[ShownLink], page: usize, total: u64) -> Value {
    let data: Vec<_> = shown.iter().map(created).collect();
    json!({ "data": data, "meta": { "current_page": page, "total": total } })
}

/// A link with its statistics.
pub fn detailed(shown: &ShownLink) -> Value {
    json!({
        "id": shown.number,
        "slug": shown.link.slug.as_str(),
        "destination": shown.destination(),
        "clicks": shown.clicks(),
        "unique_visitors": shown.counts.map(|counts| counts.visitors),
    })
}

/// A link after a change.
pub fn updated(shown: &ShownLink) -> Value {
    let utm = &shown.link.fields.utm;
    let mut link = created(shown);
    link["utm_source"] = json!(utm.source);
    link["utm_medium"] = json!(utm.medium);
    link["utm_campaign"] = json!(utm.campaign);
    link["utm_content"] = json!(utm.content);
    link["utm_term"] = json!(utm.term);
    link
}

/// The analytics of the workspace.
pub fn analytics(totals: Counts, top_links: &[(ShownLink, u64)]) -> Value {
    let top = |(shown, clicks): &(ShownLink, u64)| {
        json!({
            "id": shown.number,
            "slug": shown.link.slug.as_str(),
            "destination": shown.destination(),
            "clicks": clicks,
        })
    };
    json!({
        "total_clicks": totals.clicks,
        "unique_visitors": totals.visitors,
        "conversions": 0,
        "revenue": 0.0,
        "top_links": top_links.iter().map(top).collect::<Vec<_>>(),
    })
}
