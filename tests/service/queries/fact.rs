//! A click as counted by the tests: its dimensions as text.

use serde_json::{Value, json};
use slugline::domain::click::Click;
use slugline::domain::ids::{LinkId, QrCodeId};

/// Each dimension but time.
pub const DIMENSIONS: [&str; 31] = [
    "link",
    "domain",
    "tag",
    "folder",
    "campaign",
    "destination",
    "link_version",
    "rule",
    "variant",
    "continent",
    "country",
    "region",
    "city",
    "device",
    "browser",
    "browser_version",
    "os",
    "os_version",
    "bot",
    "bot_reason",
    "referrer",
    "referrer_url",
    "source",
    "language",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_content",
    "utm_term",
    "trigger",
    "qr_code",
];

/// Those that can be looked into.
pub fn is_text(dimension: &str) -> bool {
    !["link", "link_version", "bot", "trigger"].contains(&dimension)
}

/// The place of a dimension among [`DIMENSIONS`].
pub fn place(dimension: &str) -> usize {
    let place = DIMENSIONS.iter().position(|each| *each == dimension);
    place.unwrap_or_else(|| panic!("{dimension} is no dimension"))
}

/// A click.
#[derive(Debug, Clone)]
pub struct Fact {
    pub at_ms: i64,
    pub link: u128,
    pub visitor: u64,
    pub is_bot: bool,
    pub is_qr: bool,
    /// In the order of [`DIMENSIONS`].
    values: Vec<String>,
}

impl Fact {
    pub fn of(click: &Click) -> Self {
        let link = LinkId::from_bytes(&click.link).unwrap();
        let reasons = ["", "pattern", "woothee", "prefetch", "head", "no_agent"];
        let devices = ["other", "desktop", "mobile", "tablet", "bot"];
        let is_bot = click.bot != 0;
        let values = vec![
            link.to_string(),
            click.domain.clone(),
            click.tags.clone(),
            click.folder.clone(),
            click.campaign.clone(),
            click.destination.clone(),
            click.link_version.to_string(),
            click.rule.clone(),
            click.variant.clone(),
            continent(&click.country).to_owned(),
            click.country.clone(),
            click.region.clone(),
            click.city.clone(),
            devices[usize::try_from(click.device).unwrap()].to_owned(),
            click.browser.clone(),
            click.browser_version.clone(),
            click.os.clone(),
            click.os_version.clone(),
            is_bot.to_string(),
            reasons[usize::try_from(click.bot).unwrap()].to_owned(),
            click.referrer.clone(),
            click.referrer_url.clone(),
            source(&click.referrer).to_owned(),
            click.language.clone(),
            click.utm_source.clone(),
            click.utm_medium.clone(),
            click.utm_campaign.clone(),
            click.utm_content.clone(),
            click.utm_term.clone(),
            if click.qr { "qr" } else { "link" }.to_owned(),
            QrCodeId::from_bytes(&click.qr_code).map(|id| id.to_string()).unwrap_or_default(),
        ];
        Self {
            at_ms: i64::try_from(click.at_ms).unwrap(),
            link: link.uuid().as_u128(),
            visitor: click.visitor,
            is_bot,
            is_qr: click.qr,
            values,
        }
    }

    pub fn value(&self, place: usize) -> &str {
        &self.values[place]
    }
}

fn source(referrer: &str) -> &str {
    match referrer {
        "t.co" | "x.com" => "X",
        "google.com" | "google.co.uk" => "Google",
        "de.linkedin.com" => "LinkedIn",
        other => other,
    }
}

fn continent(country: &str) -> &'static str {
    match country {
        "DE" | "FR" => "EU",
        "US" => "NA",
        "BR" => "SA",
        "JP" => "AS",
        "ZA" => "AF",
        "AU" => "OC",
        "" => "",
        other => panic!("on which continent is {other}?"),
    }
}

/// A value as answers show it.
pub fn shown(dimension: &str, value: &str, host: &str) -> Value {
    match (dimension, value) {
        ("domain", "") => json!(host),
        ("bot", value) => json!(value == "true"),
        ("link_version", number) => json!(number.parse::<u64>().unwrap()),
        (_, "") => Value::Null,
        (_, value) => json!(value),
    }
}
