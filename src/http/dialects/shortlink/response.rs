//! Responses of ShortLink.

use serde_json::{Value, json};

use crate::domain::ids::LinkId;
use crate::domain::qr::input::TRANSPARENT;
use crate::http::Site;
use crate::http::dialects::links::ShownLink;
use crate::http::dialects::qr_codes::ShownCode;
use crate::http::dialects::time::formatted;
use crate::queries::analytics::Counts;

/// A time, as JavaScript writes it: `2026-01-15T10:30:00.000Z`.
fn time(at_ms: u64) -> String {
    formatted(at_ms, "%Y-%m-%dT%H:%M:%S%.3fZ")
}

/// A link.
pub fn link(shown: &ShownLink) -> Value {
    let (link, fields) = (&shown.link, &shown.link.fields);
    json!({
        "id": link.id.to_string(),
        "original_url": shown.destination(),
        "slug": link.slug.as_str(),
        "short_url": shown.short_url,
        "title": fields.title,
        "utm_source": fields.utm.source,
        "utm_medium": fields.utm.medium,
        "utm_campaign": fields.utm.campaign,
        "expires_at": fields.gates.expires_at_ms.map(time),
        "has_password": fields.gates.password().is_some(),
        "clicks": shown.clicks(),
        "created_at": time(link.created_at_ms),
        "updated_at": time(link.updated_at_ms),
    })
}

/// A QR code.
pub fn qr_code(site: &Site, shown: &ShownCode) -> Value {
    let (code, style) = (&shown.code, &shown.code.style);
    let background = style.background_color.map(|color| color.to_string());
    let logo_url =
        style.logo.map(|placed| format!("{}/api/v1/qr-logos/{}/image", site.base, placed.logo));
    json!({
        "id": code.id.to_string(),
        "link_id": code.link.to_string(),
        "name": code.name,
        "fg_color": style.color.to_string(),
        "bg_color": background.as_deref().unwrap_or(TRANSPARENT),
        "dot_style": style.dot_style.as_str(),
        "corner_style": style.corner_style.as_str(),
        "logo_url": logo_url,
        "short_url": shown.short_url,
        "image_url": shown.image_url,
        "scans": shown.scans,
        "created_at": time(code.created_at_ms),
    })
}

/// The analytics of the workspace.
pub fn overview(totals: Counts, top_links: &[(ShownLink, u64)]) -> Value {
    let top = |(shown, clicks): &(ShownLink, u64)| {
        json!({
            "id": shown.link.id.to_string(),
            "original_url": shown.destination(),
            "slug": shown.link.slug.as_str(),
            "short_url": shown.short_url,
            "title": shown.link.fields.title,
            "clicks": clicks,
        })
    };
    json!({
        "total_clicks": totals.clicks,
        "unique_visitors": totals.visitors,
        "top_links": top_links.iter().map(top).collect::<Vec<_>>(),
    })
}

/// The analytics of a link.
pub fn breakdown(
    link: LinkId,
    period: &str,
    totals: Counts,
    countries: Vec<(String, u64)>,
    devices: Vec<(String, u64)>,
    referrers: Vec<(String, u64)>,
) -> Value {
    json!({
        "link_id": link.to_string(),
        "period": period,
        "total_clicks": totals.clicks,
        "unique_visitors": totals.visitors,
        "countries": values("country", countries, "Unknown"),
        "devices": values("device", devices, "Unknown"),
        "referrers": values("referrer", referrers, "Direct"),
    })
}

/// The values of a dimension with their clicks; an unknown one has another name.
fn values(name: &str, values: Vec<(String, u64)>, unknown: &str) -> Vec<Value> {
    let value = |(text, clicks): (String, u64)| {
        let text = if text.is_empty() { unknown.to_owned() } else { text };
        json!({ name: text, "clicks": clicks })
    };
    values.into_iter().map(value).collect()
}
