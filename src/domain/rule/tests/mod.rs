mod accepting;
mod apps;
mod deciding;
mod round_trips;
mod shares;
mod zones;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::body::RuleBody;
use super::compiled::{Chosen, CompiledRules};
use super::visitor::Visitor;
use super::{Context, Rules};
use crate::domain::click::Device;
use crate::domain::error::Invalid;
use crate::domain::ids::RuleId;

/// Validates the rules of a request against the current ones.
fn accept_over(before: &Rules, rules: Json) -> Result<Rules, Invalid> {
    let bodies: Vec<RuleBody> = serde_json::from_value(rules).unwrap();
    let mut made = 0;
    let mut new_id = || {
        made += 1;
        RuleId::new(Uuid::from_u128(made))
    };
    let context = Context { before, is_own: &|host| host == "sho.rt", new_id: &mut new_id };
    let mut invalid = Invalid::default();
    match Rules::accept(bodies, context, &mut invalid) {
        Some(rules) => {
            assert_eq!(invalid, Invalid::default());
            Ok(rules)
        }
        None => Err(invalid),
    }
}

fn accept(rules: Json) -> Result<Rules, Invalid> {
    accept_over(&Rules::default(), rules)
}

/// The invalid fields of these rules.
fn fields_in_error(rules: Json) -> Vec<String> {
    accept(rules).map_or_else(|invalid| invalid.fields().keys().cloned().collect(), |_| Vec::new())
}

fn target() -> Json {
    json!({"destination": "https://example.com/there"})
}

/// One rule with these conditions.
fn rule(conditions: &Json) -> Json {
    json!([{"conditions": conditions, "target": target()}])
}

/// A visitor in Berlin on a Wednesday at 12:30 (10:30 UTC).
fn somebody() -> Visitor<'static> {
    Visitor {
        at_ms: ms("2026-07-15T10:30:00Z"),
        country: "DE",
        region: "Land Berlin",
        city: "Zürich",
        device: Device::Mobile,
        os: "iOS",
        browser: "Mobile Safari",
        language: "de",
        query: Some("ref=a+b&empty=&flag&ref=second&%C3%A9=%31"),
        referrer: "x.com",
        referrer_url: "https://t.co/abc",
        address: "192.0.2.7".parse().ok(),
        is_bot: false,
        id: 7,
        returning: &|| false,
    }
}

fn ms(text: &str) -> u64 {
    super::value::timestamp(text).unwrap()
}

fn decide(rules: Json, visitor: &Visitor<'_>) -> Option<Chosen> {
    CompiledRules::new(&accept(rules).unwrap()).decide(visitor)
}

/// Whether a condition matches a visitor.
fn holds(condition: &Json, visitor: &Visitor<'_>) -> bool {
    decide(rule(&json!([condition])), visitor).is_some()
}
