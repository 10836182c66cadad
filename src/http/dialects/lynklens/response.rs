//! Responses of Lynklens, in the order of its documents.

use axum::Json;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::commands::accounts::Profile;
use crate::domain::country;
use crate::domain::plan::catalogue::UNLIMITED;
use crate::domain::plan::rate::RateLimit;
use crate::domain::plan::subscription::{SubscriptionState, SubscriptionStatus};
use crate::domain::plan::{Feature, Limit, Month, Plan};
use crate::domain::qr::style::ImageFormat;
use crate::domain::token::Token;
use crate::domain::workspace::Role;
use crate::domain::workspace::state::WorkspaceState;
use crate::http::dialects::links::ShownLink;
use crate::http::dialects::qr_codes::ShownCode;
use crate::http::dialects::time::formatted;
use crate::queries::analytics::{Counts, Dimension};
use crate::queries::plans::Used;

use super::request::Span;

/// The envelope of each answer.
pub fn success(data: impl Into<Value>) -> Json<Value> {
    enveloped("Success", data)
}

/// The envelope with a message of its own.
pub fn enveloped(message: &str, data: impl Into<Value>) -> Json<Value> {
    Json(json!({ "status": true, "message": message, "data": data.into() }))
}

/// A time, as `2026-03-31T23:59:59+00:00`.
fn time(at_ms: u64) -> String {
    formatted(at_ms, "%Y-%m-%dT%H:%M:%S+00:00")
}

/// A link.
pub fn link(shown: &ShownLink) -> Value {
    json!({
        "id": shown.number,
        "slug": shown.link.slug.as_str(),
        "short_url": shown.short_url,
        "long_url": shown.destination(),
        "title": shown.link.fields.title,
        "clicks": shown.clicks(),
        "created_at": time(shown.link.created_at_ms),
        "updated_at": time(shown.link.updated_at_ms),
    })
}

/// A page of a list; `page` is its number and the number of entries of each page.
pub fn page(entries: Vec<Value>, page: (usize, usize), total: u64) -> Json<Value> {
    let (current, per_page) = (page.0 as u64, page.1 as u64);
    // As with Laravel, an empty list has a page.
    let pages = total.div_ceil(per_page).max(1);
    let Json(mut answer) = success(entries);
    answer["meta"]["pagination"] = json!({
        "current_page": current,
        "per_page": per_page,
        "total": total,
        "total_pages": pages,
        "has_more": current < pages,
    });
    Json(answer)
}

/// Clicks or scans over time.
pub fn series(name: &str, buckets: Vec<(String, u64)>, span: &Span) -> Value {
    let size = span.size.unwrap_or(u32::MAX) as usize;
    let bucket = |(date, count)| json!({ "date": date, name: count });
    let counts: Vec<_> = buckets.into_iter().take(size).map(bucket).collect();
    json!({ name: counts, "unit": span.unit.as_str(), "units": span.units })
}

/// The number of clicks or of scans.
pub fn summary(name: &str, totals: Counts, span: &Span) -> Value {
    json!({
        name: totals.clicks,
        "unit": span.unit.as_str(),
        "units": span.units,
    })
}

/// The clicks of each value of a dimension.
pub fn breakdown(dimension: Dimension, values: &[(String, u64)]) -> Value {
    let key = match dimension {
        Dimension::Os => "operating_system",
        other => other.as_str(),
    };
    let shown = |value: &str| match (dimension, value) {
        (Dimension::Country, code) => country::name(code).to_owned(),
        (Dimension::Referrer, "") => "Direct".to_owned(),
        (_, "") => "Unknown".to_owned(),
        (_, value) => value.to_owned(),
    };
    let metric = |(value, clicks): &(String, u64)| json!({ key: shown(value), "clicks": clicks });
    json!({ "metrics": values.iter().map(metric).collect::<Vec<_>>() })
}

/// A QR code that was created or changed.
pub fn saved_qr_code(shown: &ShownCode) -> Value {
    json!({
        "link_slug": shown.link.slug.as_str(),
        "qr_image_url": shown.image_url,
        "color": shown.code.style.color.to_string(),
        "size": shown.code.size,
    })
}

/// A QR code.
pub fn qr_code(shown: &ShownCode) -> Value {
    json!({
        "link_slug": shown.link.slug.as_str(),
        "link_url": shown.short_url,
        "long_url": shown.link.fields.content.destination().map_or("", |url| url.as_str()),
        "title": shown.link.fields.title,
        "qr_image_url": shown.image_url,
        "total_scans": shown.scans,
    })
}

/// The image of a QR code.
pub fn image(slug: &str, format: ImageFormat, file: &[u8]) -> Value {
    json!({
        "link_slug": slug,
        "mime_type": format.content_type(),
        "base64": BASE64_STANDARD.encode(file),
    })
}

fn used_of(limit: Limit, used: &[Used]) -> u64 {
    let found = used.iter().find(|one| one.limit == limit);
    found.and_then(|one| one.used).unwrap_or_default()
}

/// The caller, with the workspace's plan, its subscription, and what it has.
pub fn user(
    number: u64,
    profile: Profile,
    (plan, subscription): (&Plan, Option<SubscriptionState>),
    (used, qr_codes): (&[Used], u64),
) -> Value {
    let is_unlimited = plan.definition.id == UNLIMITED;
    let plan = if is_unlimited { "Enterprise" } else { &plan.definition.name };
    let status = subscription.and_then(|state| SubscriptionStatus::from_number(state.status));
    let status = status.unwrap_or(SubscriptionStatus::Active).as_str();
    json!({
        "id": number,
        "name": profile.name.unwrap_or_default(),
        "email": profile.email.unwrap_or_default(),
        "is_verified": profile.is_verified,
        "subscription": { "plan": plan, "status": status },
        "stats": { "total_links": used_of(Limit::Links, used), "total_qr_codes": qr_codes },
    })
}

/// A token, without its secret.
pub fn token(number: u64, token: &Token, last_used_ms: Option<u64>) -> Value {
    // The time of use is rounded down, so it may be before the token's creation.
    let last_used_ms = last_used_ms.map(|at_ms| at_ms.max(token.created_at_ms));
    json!({
        "id": number,
        "name": token.name,
        "abilities": token.abilities.names(),
        "last_used_at": last_used_ms.map(time),
        "expires_at": token.expires_at_ms.map(time),
        "created_at": time(token.created_at_ms),
    })
}

/// The limits of a plan, and what is used of them in a month; `rate` applies if the plan has none.
pub fn limits(plan: &Plan, rate: RateLimit, used: &[Used], month: Month) -> Value {
    let mut rates = plan.definition.rates.iter();
    let rate = rates.find(|rate| rate.class.is_none()).copied().unwrap_or(rate);
    let limit = |limit| plan.limits().get(limit).map_or(json!(-1), Value::from);
    let usage = |of| {
        let used = used_of(of, used);
        let remaining = plan.limits().get(of).map(|max| max.saturating_sub(used));
        json!({
            "used": used,
            "limit": limit(of),
            "remaining": remaining,
            "unlimited": remaining.is_none(),
        })
    };
    let end_ms = month.next().start().as_millisecond() - 1_000;
    json!({
        "rate_limit": { "limit": rate.requests, "window": rate.window.as_str() },
        "plan_limits": {
            "links_per_month": limit(Limit::LinksPerMonth),
            "qr_codes_per_month": limit(Limit::QrCodesPerMonth),
            "api_calls_per_month": limit(Limit::ApiCallsPerMonth),
            "custom_slugs": plan.includes(Feature::CustomSlugs),
            "analytics_retention_days": limit(Limit::AnalyticsRetentionDays),
        },
        "usage": {
            "links": usage(Limit::LinksPerMonth),
            "qr_codes": usage(Limit::QrCodesPerMonth),
            "resets_at": time(end_ms.unsigned_abs()),
        },
    })
}

/// A team. A machine token has no role in it.
pub fn group(number: u64, state: &WorkspaceState, is_personal: bool, role: Option<Role>) -> Value {
    json!({
        "id": number,
        "name": state.name,
        "personal_team": is_personal,
        "role": role.unwrap_or(Role::Member).as_str(),
        "is_owner": role == Some(Role::Owner),
    })
}
