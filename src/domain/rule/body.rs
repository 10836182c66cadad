//! Rules as requests and responses represent them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

/// A routing rule: the target of visitors who match all conditions. The first matching rule wins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({
    "name": "Phones in Germany, in office hours",
    "conditions": [
        {"country": ["DE"]},
        {"device": ["mobile"]},
        {"time": {"from": "09:00", "until": "17:30", "time_zone": "Europe/Berlin"}},
        {"not": {"browser": ["Firefox"]}}
    ],
    "target": {"destination": "https://example.com/de"}
}))]
pub struct RuleBody {
    /// Send it back to keep the rule's identity. If absent, an identical existing rule keeps its id,
    /// and any other rule gets a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "rule_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    pub id: Option<String>,
    /// A display name of at most 100 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Up to 10 conditions, all of which have to match. A rule without conditions matches everybody
    /// and has to be the last one.
    pub conditions: Vec<ConditionBody>,
    /// Where the rule redirects to.
    #[schema(required = true)]
    pub target: TargetBody,
}

/// A condition: an object with exactly one field.
///
/// A list of up to 250 values matches any of them, regardless of case. A fact that is unknown for a
/// visitor, such as a country missing from the geo database, matches no list, so `not` matches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(min_properties = 1, max_properties = 1, example = json!({"country": ["DE", "AT"]}))]
pub struct ConditionBody {
    /// ISO 3166-1 alpha-2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<Vec<String>>,
    /// `AF`, `AN`, `AS`, `EU`, `NA`, `OC`, `SA`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continent: Option<Vec<String>>,
    /// Names or codes as in the geo database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Vec<String>>,
    /// English names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<Vec<String>>,
    /// `desktop`, `mobile`, `tablet`, `bot`, `other`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Vec<String>>,
    /// `Windows`, `macOS`, `iOS`, `Android`, …, as in analytics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<Vec<String>>,
    /// `Chrome`, `Safari`, `Firefox`, …, as in analytics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub browser: Option<Vec<String>>,
    /// Primary subtags (`en`, `gsw`) of the visitor's preferred language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<Vec<String>>,
    /// Hosts, including their subdomains; the host of a site (`x.com`) includes those that redirect
    /// to it (`t.co`) and its apps. `direct` for a visit without a referrer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referrer: Option<Vec<String>>,
    /// IP addresses, or ranges in CIDR notation: `192.0.2.0/24`, `2001:db8::/32`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Vec<String>>,
    /// A parameter of the visitor's query string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<QueryConditionBody>,
    /// A period of time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<DateConditionBody>,
    /// A time of day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeConditionBody>,
    /// A day of the week.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weekday: Option<WeekdayConditionBody>,
    /// Whether the visitor is classified as a bot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bot: Option<bool>,
    /// Whether the visitor has visited before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returning: Option<bool>,
    /// Matches if the condition inside doesn't.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion)]
    pub not: Option<Box<ConditionBody>>,
    /// Kept so that they can be reported by their path.
    #[serde(flatten, skip_serializing)]
    #[schema(ignore)]
    pub unknown: Unknown,
}

/// The names of unknown fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "BTreeMap<String, Json>")]
pub struct Unknown(pub Vec<String>);

impl From<BTreeMap<String, Json>> for Unknown {
    fn from(fields: BTreeMap<String, Json>) -> Self {
        Self(fields.into_keys().collect())
    }
}

/// A query parameter: its name and one of `has`, `equals` or `any`. Of a repeated parameter the
/// first value counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"name": "ref", "any": ["mail", "print"]}))]
pub struct QueryConditionBody {
    /// The decoded name; case-sensitive.
    #[schema(required = true)]
    pub name: String,
    /// True matches any value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has: Option<bool>,
    /// The decoded value; case-sensitive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    /// Any of these values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub any: Option<Vec<String>>,
}

/// A start and an end (ISO 8601 with an offset), or one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DateConditionBody {
    /// The start, inclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-12-01T00:00:00Z")]
    pub from: Option<String>,
    /// The end, exclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2027-01-01T00:00:00Z")]
    pub until: Option<String>,
}

/// A span of local time (`HH:MM`). It crosses midnight if the end is before the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeConditionBody {
    /// The start, inclusive.
    #[schema(example = "09:00", required = true)]
    pub from: String,
    /// The end, exclusive.
    #[schema(example = "17:30", required = true)]
    pub until: String,
    /// An IANA time zone name.
    #[schema(example = "Europe/Berlin", required = true)]
    pub time_zone: String,
}

/// Days of the week in local time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WeekdayConditionBody {
    /// `monday` to `sunday`.
    #[schema(required = true)]
    pub days: Vec<String>,
    /// An IANA time zone name.
    #[schema(example = "Europe/Berlin", required = true)]
    pub time_zone: String,
}

/// The target of a rule: `destination` or `split`, and optionally apps that open instead.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"destination": "https://example.com/de"}))]
pub struct TargetBody {
    /// A URL, as for a link's `destination`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// Several destinations among which visitors are distributed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitBody>,
    /// Opened instead on iOS: https, or an app's own scheme (`myapp://…`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ios_url: Option<String>,
    /// The App Store page of the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ios_store_url: Option<String>,
    /// Opened instead on Android: https, `intent://…`, or an app's own scheme.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub android_url: Option<String>,
    /// The Google Play page of the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub android_store_url: Option<String>,
}

/// A split test: each visitor is assigned a variant by weight and keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SplitBody {
    /// 2 to 8 variants.
    #[schema(required = true, min_items = 2, max_items = 8)]
    pub variants: Vec<VariantBody>,
    /// When the test ends (ISO 8601). From then on all visitors get the winner or, without one, the
    /// first of the variants with the largest weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2027-01-01T00:00:00Z")]
    pub until: Option<String>,
    /// The name of the variant that all visitors get from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub winner: Option<String>,
}

/// One of the destinations of a split.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VariantBody {
    /// The name of the variant, at most 64 characters. A new name makes a new variant.
    #[schema(required = true, example = "A")]
    pub name: String,
    /// A URL, as for a link's `destination`.
    #[schema(required = true, example = "https://example.com/a")]
    pub destination: String,
    /// The relative share of visitors: 1 to 10,000.
    #[schema(required = true, minimum = 1, maximum = 10_000)]
    pub weight: i64,
}
