//! Accepted rules round-trip through the log and through responses.

use proptest::prelude::*;
use prost::Message;
use serde_json::{Value as Json, json};

use super::super::stored::{ConditionState, OneOfState, RulesState, TestState};
use super::*;

fn stored(rules: &Rules) -> Result<Rules, crate::domain::error::Unreadable> {
    let bytes = RulesState::from(rules).encode_to_vec();
    RulesState::decode(bytes.as_slice()).unwrap().into_rules()
}

fn words(values: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(prop::sample::select(values), 1..4)
}

fn condition() -> impl Strategy<Value = Json> {
    let zone = || prop::sample::select(&["Europe/Berlin", "utc", "america/new_york"][..]);
    let one = prop_oneof![
        words(&["de", "AT", "ch", "US", "XK"]).prop_map(|list| json!({"country": list})),
        words(&["eu", "NA", "as"]).prop_map(|list| json!({"continent": list})),
        prop::collection::vec("[a-zA-ZäÖİß][ a-zäÖß]{0,5}", 1..4)
            .prop_map(|list| json!({"city": list})),
        words(&["Mobile", "desktop", "bot"]).prop_map(|list| json!({"device": list})),
        words(&["iOS", "ios", "Windows"]).prop_map(|list| json!({"os": list})),
        words(&["DE", "en", "gsw"]).prop_map(|list| json!({"language": list})),
        words(&["www.X.com", "t.co", "direct", "[::1]", "10.0.0.1"])
            .prop_map(|list| json!({"referrer": list})),
        words(&["10.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32", "::ffff:10.0.0.0/104"])
            .prop_map(|list| json!({"address": list})),
        (".{1,8}", prop::collection::vec(".{0,8}", 1..4))
            .prop_map(|(name, any)| json!({"query": {"name": name, "any": any}})),
        ".{1,8}".prop_map(|name| json!({"query": {"name": name, "has": true}})),
        (0..4_000_000_000_i64, 1..1_000_000_i64).prop_map(|(from, length)| {
            let moment = |second| jiff::Timestamp::from_second(second).unwrap().to_string();
            json!({"date": {"from": moment(from), "until": moment(from + length)}})
        }),
        (0..1440_u16, 1..1440_u16, zone()).prop_map(|(from, length, zone)| {
            let text = super::super::value::minute_text;
            let until = (from + length) % 1440;
            json!({"time": {"from": text(from), "until": text(until), "time_zone": zone}})
        }),
        (words(&["Monday", "friday", "sunday"]), zone())
            .prop_map(|(days, zone)| json!({"weekday": {"days": days, "time_zone": zone}})),
        any::<bool>().prop_map(|bot| json!({"bot": bot})),
        any::<bool>().prop_map(|returning| json!({"returning": returning})),
    ];
    (one, any::<bool>()).prop_map(|(one, negated)| {
        let is_flag = one.get("bot").is_some() || one.get("returning").is_some();
        if negated && !is_flag { json!({"not": one}) } else { one }
    })
}

fn any_target() -> impl Strategy<Value = Json> {
    let weights = prop::collection::vec(1..10_000_u32, 2..=8);
    prop_oneof![
        Just(json!({"destination": "https://example.com/a b?c#d", "ios_url": "myapp://x"})),
        (weights, any::<bool>(), any::<bool>()).prop_map(|(weights, ends, has_winner)| {
            let variants: Vec<_> = (0..)
                .zip(weights)
                .map(|(number, weight): (u8, _)| {
                    json!({
                        "name": format!("variant {number}"),
                        "destination": "https://example.com",
                        "weight": weight
                    })
                })
                .collect();
            let until = ends.then_some("2026-12-01T00:00:00+01:00");
            let winner = has_winner.then_some("variant 1");
            json!({
                "split": {"variants": variants, "until": until, "winner": winner},
                "android_store_url": "market://details?id=a"
            })
        }),
    ]
}

fn rules() -> impl Strategy<Value = Json> {
    let conditions = prop::collection::vec(condition(), 1..4);
    let name = prop::option::of("[a-z ]{0,8}");
    let rule = (name, conditions, any_target()).prop_map(|(name, conditions, target)| {
        json!({"name": name, "conditions": conditions, "target": target})
    });
    prop::collection::vec(rule, 0..4).prop_map(Json::from)
}

proptest! {
    #[test]
    fn accepted_rules_round_trip_through_the_log_and_responses(rules in rules()) {
    // Skip contradicting rules, which are rejected.
        let Ok(accepted) = accept(rules) else { return Ok(()) };
        let from_log = stored(&accepted).unwrap();
        prop_assert_eq!(&from_log, &accepted);
        let bodies = serde_json::to_value(from_log.bodies()).unwrap();
        let again = accept_over(&accepted, bodies);
        prop_assert_eq!(again, Ok(accepted));
    }

    #[test]
    fn any_query_and_referrer_can_be_evaluated(
        query in ".{0,40}",
        referrer in ".{0,20}",
        page in ".{0,20}",
        fact in ".{0,20}",
    ) {
        let visitor = Visitor {
            query: Some(&query),
            referrer: &referrer,
            referrer_url: &page,
            city: &fact,
            country: &fact,
            ..somebody()
        };
        for condition in [
            json!({"query": {"name": "a", "any": ["é", "%"]}}),
            json!({"referrer": ["example.com"]}),
            json!({"city": ["Zürich", "İ"]}),
            json!({"country": ["DE"]}),
        ] {
            let negated = json!({"not": condition});
            prop_assert_ne!(holds(&condition, &visitor), holds(&negated, &visitor));
        }
    }
}

#[test]
fn most_generated_rules_are_accepted() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let accepted = (0..200).filter(|_| {
        let rules = rules().new_tree(&mut runner).unwrap().current();
        accept(rules).is_ok()
    });
    assert!(accepted.count() > 100);
}

#[test]
fn unknown_values_of_newer_versions_are_rejected() {
    let mut state = RulesState::from(&accept(rule(&json!([{"bot": true}]))).unwrap());
    assert!(state.clone().into_rules().is_ok());
    for condition in [
        ConditionState { negated: false, test: None },
        ConditionState {
            negated: true,
            test: Some(TestState::OneOf(OneOfState { fact: 99, values: vec!["x".into()] })),
        },
    ] {
        state.rules[0].conditions = vec![condition];
        assert!(state.clone().into_rules().is_err());
    }
    state.rules[0].conditions.clear();
    assert!(state.clone().into_rules().is_ok());
    state.rules[0].kind = None;
    assert!(state.into_rules().is_err());
}

#[test]
fn empty_rules_take_no_bytes() {
    assert_eq!(RulesState::from(&Rules::default()).encoded_len(), 0);
    assert_eq!(stored(&Rules::default()), Ok(Rules::default()));
}

#[test]
fn the_schema_has_all_conditions() {
    use utoipa::PartialSchema;
    let schema = serde_json::to_value(super::super::body::ConditionBody::schema()).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    assert_eq!(properties.len(), 17, "{schema:#}");
    assert!(!properties.contains_key("unknown"));
}
