//! Responses of link.tj.

use serde_json::{Value, json};

use crate::commands::accounts::{Profile, SignedIn};
use crate::commands::now_ms;
use crate::domain::destination::Destination;
use crate::domain::link::{Block, Content, Payload};
use crate::domain::money::Money;
use crate::domain::plan::{Interval, Limit, LimitReached, Price};
use crate::http::Site;
use crate::http::dialects::links::ShownLink;
use crate::queries::plans::Used;

/// The longest `summary` of a text, in characters.
const SUMMARY_CHARS: usize = 80;
/// The name of what is not known.
const UNKNOWN: &str = "Unknown";

/// The short URL; of other kinds than `url`, that of the page.
fn short_url(site: &Site, shown: &ShownLink) -> String {
    match &shown.link.fields.content {
        Content::Url(_) => shown.short_url.clone(),
        Content::Page(_) => {
            site.short_url(&shown.link.fields.domain, &format!("l/{}", shown.link.slug))
        }
    }
}

/// What a page is about, in a few words; never a password.
fn summary(payload: &Payload) -> String {
    match payload {
        Payload::Wifi(wifi) => wifi.ssid.clone(),
        Payload::Vcard(card) => card.name.clone(),
        Payload::Text(text) => text.chars().take(SUMMARY_CHARS).collect(),
    }
}

/// What all answers about a link have.
fn common(site: &Site, shown: &ShownLink) -> Value {
    json!({
        "id": shown.link.id.to_string(),
        "slug": shown.link.slug.as_str(),
        "shortUrl": short_url(site, shown),
        "originalUrl": shown.link.fields.content.destination().map(Destination::as_str),
        "clicks": shown.clicks(),
    })
}

/// Whether visits are redirected at the moment.
fn is_active(shown: &ShownLink) -> bool {
    shown.link.fields.gates.closed_at(now_ms()) == Block::None
}

/// A new link.
pub fn created(site: &Site, shown: &ShownLink) -> Value {
    let content = &shown.link.fields.content;
    let mut link = common(site, shown);
    link["kind"] = content.kind().as_str().into();
    link["summary"] = json!(content.payload().map(summary));
    link
}

/// A link in a list.
pub fn listed(site: &Site, shown: &ShownLink) -> Value {
    let mut link = common(site, shown);
    link["kind"] = shown.link.fields.content.kind().as_str().into();
    link["isActive"] = is_active(shown).into();
    link
}

/// The clicks of a link, by values.
pub struct Breakdowns {
    /// By country code.
    pub countries: Vec<(String, u64)>,
    /// By device.
    pub devices: Vec<(String, u64)>,
    /// By the host of the referring page.
    pub referrers: Vec<(String, u64)>,
}

/// A link with its analytics.
pub fn detailed(site: &Site, shown: &ShownLink, analytics: Breakdowns) -> Value {
    let counts = |values: Vec<(String, u64)>| -> Vec<Value> {
        let named = values.into_iter().map(|(name, count)| {
            json!({ "name": if name.is_empty() { UNKNOWN } else { &name }, "count": count })
        });
        named.collect()
    };
    let mut link = common(site, shown);
    link["isActive"] = is_active(shown).into();
    link["analytics"] = json!({
        "byCountry": counts(analytics.countries),
        "byDevice": counts(analytics.devices),
        "byReferrer": counts(analytics.referrers),
    });
    link
}

fn remaining(used: Used) -> Option<u64> {
    used.used.zip(used.max).map(|(used, max)| max.saturating_sub(used))
}

/// The number of links, after a creation.
pub fn usage(links: Used) -> Value {
    json!({ "linksUsed": links.used, "linkLimit": links.max, "linksRemaining": remaining(links) })
}

/// The caller, with the plan and its usage.
pub fn me(email: Option<&str>, plan: &str, (links, clicks): (Used, Used)) -> Value {
    json!({
        "email": email,
        "plan": {
            "name": plan,
            "linkLimit": links.max,
            "clickLimit": clicks.max,
        },
        "usage": {
            "linksUsed": links.used,
            "linksRemaining": remaining(links),
            "clicksUsed": clicks.used,
        },
    })
}

/// The JWT of a user.
pub fn token(signed_in: SignedIn) -> Value {
    let SignedIn { profile: Profile { id, email, name, role, .. }, secret, .. } = signed_in;
    json!({
        "token": secret,
        "user": {
            "id": id.to_string(),
            "email": email.unwrap_or_default(),
            "name": name.unwrap_or_default(),
            "role": role.as_str(),
        },
    })
}

/// The plan that allows more than a limit that is reached.
pub fn recommended(reached: &LimitReached) -> Option<Value> {
    let plan = reached.recommended.as_deref()?;
    let limit = if reached.limit == Limit::Links { Limit::Links } else { Limit::LinksPerMonth };
    Some(json!({
        "name": plan.name,
        "priceMonthly": plan.price.map(monthly),
        "linkLimit": plan.limits.get(limit),
    }))
}

/// A price per month, as a number.
fn monthly(Price { money, interval }: Price) -> Value {
    let months = match interval {
        Interval::Month => 1,
        Interval::Year => 12,
    };
    let amount = Money { minor: money.minor / months, ..money }.amount();
    let whole = amount.split_once('.').filter(|(_, rest)| rest.bytes().all(|digit| digit == b'0'));
    let number = whole.map_or(amount.as_str(), |(whole, _)| whole);
    serde_json::from_str(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_numbers_per_month() {
        let price = |minor, currency: &str, interval| {
            let money = Money { minor, currency: currency.parse().unwrap() };
            monthly(Price { money, interval })
        };
        assert_eq!(price(800, "USD", Interval::Month), json!(8));
        assert_eq!(price(850, "USD", Interval::Month), json!(8.5));
        assert_eq!(price(9_600, "USD", Interval::Year), json!(8));
        assert_eq!(price(800, "JPY", Interval::Month), json!(800));
    }

    #[test]
    fn summaries_of_networks_are_their_names() {
        let mut invalid = crate::domain::error::Invalid::default();
        let fields = json!({ "ssid": "MyNet", "password": "secret123" });
        let fields = fields.as_object().cloned().unwrap();
        let payload = Payload::accept(crate::domain::link::Kind::Wifi, fields, &mut invalid);
        assert_eq!(summary(&payload.unwrap()), "MyNet");
        assert_eq!(summary(&Payload::Text("ü".repeat(90))), "ü".repeat(80));
    }
}
