//! Rules as requests write them, and as answers give them back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

/// A rule: where visitors go for whom all its conditions hold. The first that fits is followed.
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
    /// Given back to keep the rule's identity. When absent it is that of the rule that says the
    /// same, if one stands, else a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "rule_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    pub id: Option<String>,
    /// A name for people, at most 100 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// At most 10, which must all hold. Without any the rule fits everybody, and must be the last.
    pub conditions: Vec<ConditionBody>,
    /// Where it leads.
    #[schema(required = true)]
    pub target: TargetBody,
}

/// A condition: an object with one field, which says what is looked at.
///
/// Lists hold for any of their values, at most 250, whatever their case. What isn't known of a
/// visitor (a country that no database has) is in no list; so `not` holds for it.
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
    /// Names or codes, as the geo database has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Vec<String>>,
    /// English names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<Vec<String>>,
    /// `desktop`, `mobile`, `tablet`, `bot`, `other`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Vec<String>>,
    /// `Windows`, `macOS`, `iOS`, `Android`, …, as analytics show them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<Vec<String>>,
    /// `Chrome`, `Safari`, `Firefox`, …, as analytics show them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub browser: Option<Vec<String>>,
    /// Primary subtags (`en`, `gsw`) of the language that the visitor likes best.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<Vec<String>>,
    /// Hosts, each with those below it; `direct` for a visit that comes from nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referrer: Option<Vec<String>>,
    /// Addresses, or ranges as CIDR: `192.0.2.0/24`, `2001:db8::/32`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Vec<String>>,
    /// A parameter of the short link's own query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<QueryConditionBody>,
    /// A time between two moments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<DateConditionBody>,
    /// A time of the day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeConditionBody>,
    /// A day of the week.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weekday: Option<WeekdayConditionBody>,
    /// Whether the visitor is taken for a bot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bot: Option<bool>,
    /// Whether the visitor was seen before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returning: Option<bool>,
    /// Holds where the condition in it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion)]
    pub not: Option<Box<ConditionBody>>,
    /// Kept by name so that they are refused with their path.
    #[serde(flatten, skip_serializing)]
    #[schema(ignore)]
    pub unknown: Unknown,
}

/// The names of fields that there are not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "BTreeMap<String, Json>")]
pub struct Unknown(pub Vec<String>);

impl From<BTreeMap<String, Json>> for Unknown {
    fn from(fields: BTreeMap<String, Json>) -> Self {
        Self(fields.into_keys().collect())
    }
}

/// A parameter of the query, by its name and one of `has`, `equals`, `any`. A parameter that is
/// there several times counts with its first value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"name": "ref", "any": ["mail", "print"]}))]
pub struct QueryConditionBody {
    /// As it stands in the query, decoded; its case counts.
    #[schema(required = true)]
    pub name: String,
    /// True: whatever its value is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has: Option<bool>,
    /// Its value, decoded; its case counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    /// One of these values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub any: Option<Vec<String>>,
}

/// Two moments (ISO 8601 with an offset), or one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DateConditionBody {
    /// The first moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-12-01T00:00:00Z")]
    pub from: Option<String>,
    /// The first moment that is too late.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2027-01-01T00:00:00Z")]
    pub until: Option<String>,
}

/// Two times of the day (`HH:MM`) as clocks show them there; over midnight where the second is
/// the earlier one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeConditionBody {
    /// The first minute.
    #[schema(example = "09:00", required = true)]
    pub from: String,
    /// The first minute that is too late.
    #[schema(example = "17:30", required = true)]
    pub until: String,
    /// A name of the IANA database.
    #[schema(example = "Europe/Berlin", required = true)]
    pub time_zone: String,
}

/// Days of the week, as calendars show them there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WeekdayConditionBody {
    /// `monday` to `sunday`.
    #[schema(required = true)]
    pub days: Vec<String>,
    /// A name of the IANA database.
    #[schema(example = "Europe/Berlin", required = true)]
    pub time_zone: String,
}

/// Where a rule leads: `destination` or `split`, and apps in front of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"destination": "https://example.com/de"}))]
pub struct TargetBody {
    /// As a link's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// Several destinations, among which visitors are shared out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitBody>,
    /// Opened instead on iOS: https, or an app's own scheme (`myapp://…`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ios_url: Option<String>,
    /// Where the app is to be had for iOS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ios_store_url: Option<String>,
    /// Opened instead on Android: https, `intent://…`, or an app's own scheme.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub android_url: Option<String>,
    /// Where the app is to be had for Android.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub android_store_url: Option<String>,
}

/// A test of variants: each visitor is given one by weight, and keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SplitBody {
    /// 2 to 8.
    #[schema(required = true, min_items = 2, max_items = 8)]
    pub variants: Vec<VariantBody>,
    /// When it ends (ISO 8601): from then on all go to the winner, or else to the variant of the
    /// greatest weight, the first of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2027-01-01T00:00:00Z")]
    pub until: Option<String>,
    /// The name of the variant that all go to from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub winner: Option<String>,
}

/// One of the destinations of a split.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VariantBody {
    /// What it is known by, at most 64 characters: another name is another variant.
    #[schema(required = true, example = "A")]
    pub name: String,
    /// As a link's.
    #[schema(required = true, example = "https://example.com/a")]
    pub destination: String,
    /// Its share against the others' weights: 1 to 10,000.
    #[schema(required = true, minimum = 1, maximum = 10_000)]
    pub weight: i64,
}
