//! Validation of rules.

use serde_json::{Value as Json, json};

use super::*;

/// The invalid fields of one rule with these conditions, relative to `rules[0].conditions`.
fn wrong(conditions: &Json) -> Vec<String> {
    let fields = fields_in_error(rule(conditions)).into_iter();
    fields.map(|field| field.replacen("rules[0].conditions", "", 1)).collect()
}

#[test]
fn an_invalid_condition_is_reported_by_its_path() {
    let many: Vec<_> = (0..251).map(|number| format!("city {number}")).collect();
    for (condition, field) in [
        (json!({"country": ["XX"]}), ".country"),
        (json!({"country": ["DEU"]}), ".country"),
        (json!({"country": ["AC"]}), ".country"),
        (json!({"country": []}), ".country"),
        (json!({"country": ["DE", ""]}), ".country"),
        (json!({"not": {"country": ["XX"]}}), ".not.country"),
        (json!({"continent": ["XX"]}), ".continent"),
        (json!({"device": ["phone"]}), ".device"),
        (json!({"language": ["de-AT"]}), ".language"),
        (json!({"city": many}), ".city"),
        (json!({"city": ["a\nb"]}), ".city"),
        (json!({"os": ["x".repeat(65)]}), ".os"),
        (json!({"referrer": ["*.example.com"]}), ".referrer"),
        (json!({"referrer": ["https://example.com/"]}), ".referrer"),
        (json!({"address": ["10.0.0.0/33"]}), ".address"),
        (json!({"address": ["example.com"]}), ".address"),
        (json!({"query": {"has": true}}), ".query.name"),
        (json!({"query": {"name": "a"}}), ".query"),
        (json!({"query": {"name": "a", "has": true, "equals": "1"}}), ".query"),
        (json!({"query": {"name": "a", "has": false}}), ".query.has"),
        (json!({"query": {"name": "a", "any": []}}), ".query.any"),
        (json!({"query": {"name": "a", "equals": "x".repeat(257)}}), ".query.equals"),
        (json!({"date": {}}), ".date"),
        (json!({"date": {"from": "2026-12-01"}}), ".date.from"),
        (json!({"date": {"until": "1969-12-01T00:00:00Z"}}), ".date.until"),
        (
            json!({"date": {"from": "2026-12-01T00:00:00Z", "until": "2026-12-01T00:00:00Z"}}),
            ".date.until",
        ),
        (
            json!({"time": {"from": "9:00", "until": "17:00", "time_zone": "Europe/Berlin"}}),
            ".time.from",
        ),
        (
            json!({"time": {"from": "09:00", "until": "24:01", "time_zone": "Europe/Berlin"}}),
            ".time.until",
        ),
        (
            json!({"time": {"from": "00:00", "until": "24:00", "time_zone": "Europe/Berlin"}}),
            ".time.until",
        ),
        (
            json!({"time": {"from": "09:00", "until": "17:00", "time_zone": "Europe/Berlim"}}),
            ".time.time_zone",
        ),
        (
            json!({"time": {"from": "09:00", "until": "17:00", "time_zone": "+02:00"}}),
            ".time.time_zone",
        ),
        (json!({"time": {"from": "09:00", "until": "17:00"}}), ".time.time_zone"),
        (json!({"weekday": {"days": ["mo"], "time_zone": "UTC"}}), ".weekday.days"),
        (json!({"weekday": {"days": [], "time_zone": "UTC"}}), ".weekday.days"),
        (json!({"weekday": {"days": ["monday"]}}), ".weekday.time_zone"),
        (json!({"planet": ["mars"]}), ".planet"),
        (json!({"country": ["DE"], "planet": ["mars"]}), ".planet"),
        (json!({"not": {"planet": ["mars"]}}), ".not.planet"),
        (json!({}), ""),
        (json!({"country": null}), ""),
        (json!({"country": ["DE"], "device": ["mobile"]}), ""),
        (json!({"not": {}}), ".not"),
        (json!({"not": {"not": {"country": ["DE"]}}}), ".not.not.country"),
        (json!({"not": {"bot": true}}), ".not.bot"),
        (json!({"not": {"returning": true}}), ".not.returning"),
    ] {
        assert_eq!(wrong(&json!([condition])), [format!("[0]{field}")], "{condition}");
    }
}

#[test]
fn contradicting_conditions_are_rejected() {
    let at = |from: &str, until: &str| json!({"time": {"from": from, "until": until, "time_zone": "Europe/Berlin"}});
    let on = |day: &str| json!({"weekday": {"days": [day], "time_zone": "Europe/Berlin"}});
    let asks = |value: &str| json!({"query": {"name": "a", "equals": value}});
    let not = |condition: Json| json!({"not": condition});
    for (one, other, field) in [
        (json!({"country": ["DE"]}), json!({"country": ["AT", "CH"]}), "country"),
        (json!({"country": ["DE"]}), not(json!({"country": ["de", "AT"]})), "not.country"),
        (not(json!({"country": ["de", "AT"]})), json!({"country": ["DE"]}), "country"),
        (json!({"os": ["iOS"]}), not(json!({"os": ["ios"]})), "not.os"),
        (json!({"referrer": ["news.x.com"]}), not(json!({"referrer": ["x.com"]})), "not.referrer"),
        (json!({"referrer": ["x.com"]}), json!({"referrer": ["direct"]}), "referrer"),
        (json!({"address": ["10.0.0.0/8"]}), json!({"address": ["192.0.2.0/24"]}), "address"),
        (
            json!({"address": ["10.1.0.0/16"]}),
            not(json!({"address": ["10.0.0.0/8"]})),
            "not.address",
        ),
        (asks("1"), asks("2"), "query"),
        (asks("1"), not(json!({"query": {"name": "a", "has": true}})), "not.query"),
        (not(asks("1")), asks("1"), "query"),
        (json!({"bot": true}), json!({"bot": false}), "bot"),
        (json!({"returning": true}), json!({"returning": false}), "returning"),
        (
            json!({"date": {"until": "2026-01-01T00:00:00Z"}}),
            json!({"date": {"from": "2026-01-01T00:00:00Z"}}),
            "date",
        ),
        (
            json!({"date": {"until": "2026-01-01T00:00:00Z"}}),
            not(json!({"date": {"until": "2026-01-02T00:00:00Z"}})),
            "not.date",
        ),
        (at("09:00", "12:00"), at("12:00", "13:00"), "time"),
        (at("22:00", "06:00"), not(at("21:00", "07:00")), "not.time"),
        (on("monday"), on("tuesday"), "weekday"),
        (on("monday"), not(on("monday")), "not.weekday"),
    ] {
        let both = json!([{"city": ["Anywhere"]}, one, other]);
        assert_eq!(wrong(&both), [format!("[2].{field}")], "{both}");
    }
}

#[test]
fn compatible_conditions_are_accepted() {
    let not = |condition: Json| json!({"not": condition});
    for both in [
        json!([{"country": ["DE", "AT"]}, {"country": ["AT"]}]),
        json!([{"country": ["DE", "US"]}, {"continent": ["EU"]}]),
        json!([{"country": ["DE"]}, not(json!({"continent": ["AS"]}))]),
        json!([not(json!({"country": ["DE"]})), not(json!({"country": ["AT"]}))]),
        json!([{"referrer": ["x.com"]}, {"referrer": ["news.x.com"]}]),
        json!([{"referrer": ["x.com"]}, not(json!({"referrer": ["news.x.com"]}))]),
        json!([{"address": ["10.0.0.0/8"]}, not(json!({"address": ["10.1.0.0/16"]}))]),
        json!([{"query": {"name": "a", "has": true}}, {"query": {"name": "b", "equals": "1"}}]),
        json!([{"query": {"name": "a", "has": true}}, not(json!({"query": {"name": "a", "equals": "1"}}))]),
        json!([
            {"time": {"from": "22:00", "until": "06:00", "time_zone": "Europe/Berlin"}},
            {"time": {"from": "05:00", "until": "23:00", "time_zone": "Europe/Berlin"}}
        ]),
        json!([
            {"weekday": {"days": ["monday"], "time_zone": "Europe/Berlin"}},
            {"weekday": {"days": ["tuesday"], "time_zone": "Asia/Tokyo"}}
        ]),
        json!([{"bot": true}, {"device": ["bot"]}]),
    ] {
        assert!(wrong(&both).is_empty(), "{both}");
    }
}

#[test]
fn nested_ranges_are_checked_in_bounded_time() {
    let nested: Vec<_> = (0..=128).map(|bits| format!("2001:db8::/{bits}")).collect();
    let conditions = vec![json!({"address": nested}); 10];
    assert!(wrong(&json!(conditions)).is_empty());
}

#[test]
fn an_invalid_target_is_reported_by_its_path() {
    let variant = |name: &str, weight: i64| json!({"name": name, "destination": "https://example.com/v", "weight": weight});
    let split = |variants: Json| json!({"split": {"variants": variants}});
    let ab = || json!([variant("a", 1), variant("b", 1)]);
    for (target, fields) in [
        (json!({}), vec![""]),
        (json!({"destination": "https://e.com", "split": {"variants": ab()}}), vec![""]),
        (json!({"destination": "example.com"}), vec![".destination"]),
        (json!({"destination": "https://sho.rt/a"}), vec![".destination"]),
        (split(json!([])), vec![".split.variants"]),
        (split(json!([variant("a", 1)])), vec![".split.variants"]),
        (split(json!(vec![variant("a", 1); 9])), vec![".split.variants"]),
        (
            split(json!([variant("a", 0), variant("b", -1), variant("c", 10_001)])),
            vec![
                ".split.variants[0].weight",
                ".split.variants[1].weight",
                ".split.variants[2].weight",
            ],
        ),
        (split(json!([variant("a", 1), variant(" A ", 1)])), vec![".split.variants[1].name"]),
        (split(json!([variant("a", 1), variant("", 1)])), vec![".split.variants[1].name"]),
        (
            split(json!([variant("a", 1), {"name": "b", "destination": "x", "weight": 1}])),
            vec![".split.variants[1].destination"],
        ),
        (
            json!({"split": {"variants": ab(), "winner": "c", "until": "soon"}}),
            vec![".split.until", ".split.winner"],
        ),
        (
            json!({"destination": "https://e.com", "ios_url": "javascript://x", "android_url": "x"}),
            vec![".android_url", ".ios_url"],
        ),
    ] {
        let fields: Vec<_> =
            fields.into_iter().map(|field| format!("rules[1].target{field}")).collect();
        let rules = json!([
            {"conditions": [{"bot": true}], "target": super::target()},
            {"target": target}
        ]);
        assert_eq!(fields_in_error(rules.clone()), fields, "{rules}");
    }
}

#[test]
fn an_unreachable_rule_is_rejected() {
    let with = |conditions: Json| json!({"conditions": conditions, "target": target()});
    let all = with(json!([]));
    let phones = with(json!([{"device": ["mobile"]}]));
    let german_phones = with(json!([{"country": ["DE"]}, {"device": ["Mobile"]}]));
    for (rules, field) in [
        (json!([all, phones]), "rules[0].conditions"),
        (json!([phones, phones]), "rules[1].conditions"),
        (json!([phones, german_phones, all]), "rules[1].conditions"),
    ] {
        assert_eq!(fields_in_error(rules.clone()), [field], "{rules}");
    }
    assert!(accept(json!([german_phones, phones, all])).is_ok());
}

#[test]
fn rules_conditions_and_names_are_limited() {
    let rules = |count: usize| {
        let each = (0..count).map(|number| {
            let conditions = json!([{"city": [format!("city {number}")]}]);
            json!({"conditions": conditions, "target": target()})
        });
        Json::from(each.collect::<Vec<_>>())
    };
    assert!(accept(rules(20)).is_ok());
    assert_eq!(fields_in_error(rules(21)), ["rules"]);
    let conditions = |count: usize| json!(vec![json!({"bot": true}); count]);
    assert!(wrong(&conditions(10)).is_empty());
    assert_eq!(wrong(&conditions(11)), [""]);
    let long = json!([{"name": "n".repeat(101), "target": target()}]);
    assert_eq!(fields_in_error(long), ["rules[0].name"]);
}

#[test]
fn an_id_is_kept_if_sent_back_and_rejected_if_foreign() {
    let before = accept(json!([
        {"conditions": [{"bot": true}], "target": target()},
        {"conditions": [{"bot": false}], "target": target()}
    ]))
    .unwrap();
    let ids: Vec<_> = before.as_slice().iter().map(|rule| rule.id.to_string()).collect();

    let kept = accept_over(&before, json!([{"id": ids[1], "target": target()}])).unwrap();
    assert_eq!(kept.as_slice()[0].id.to_string(), ids[1]);

    let elsewhere = "rule_01kaj9m3v8e9qrs4t5v6w7x8y9";
    for bad in [elsewhere, "link_00000000000000000000000001", "1"] {
        let refused = accept_over(&before, json!([{"id": bad, "target": target()}])).unwrap_err();
        assert_eq!(refused.fields().keys().collect::<Vec<_>>(), ["rules[0].id"], "{bad}");
    }
    let twice = json!([
        {"id": ids[0], "conditions": [{"bot": true}], "target": target()},
        {"id": ids[0], "target": target()}
    ]);
    let refused = accept_over(&before, twice).unwrap_err();
    assert_eq!(refused.fields().keys().collect::<Vec<_>>(), ["rules[1].id"]);
}

#[test]
fn unknown_fields_outside_conditions_are_rejected() {
    for body in [
        json!({"target": target(), "odd": 1}),
        json!({"target": {"destination": "https://e.com", "odd": 1}}),
        json!({"conditions": [{"query": {"name": "a", "odd": 1}}], "target": target()}),
        json!({"target": {"split": {"variants": [{"name": "a", "odd": 1}]}}}),
    ] {
        let refused = serde_json::from_value::<RuleBody>(body.clone()).unwrap_err().to_string();
        assert!(refused.contains("unknown field `odd`"), "{body}: {refused}");
    }
}

#[test]
fn a_value_of_the_wrong_type_is_reported_by_its_path() {
    for (rule, path) in [
        (json!({"conditions": [{"country": 5}]}), "conditions[0].country"),
        (json!({"conditions": [{"not": {"country": ["DE", 5]}}]}), "conditions[0].not.country[1]"),
        (json!({"conditions": [{"bot": "yes"}]}), "conditions[0].bot"),
        (
            json!({"target": {"split": {"variants": [{"weight": 1.5}]}}}),
            "target.split.variants[0].weight",
        ),
    ] {
        let text = rule.to_string();
        let mut json = serde_json::Deserializer::from_str(&text);
        let refused = serde_path_to_error::deserialize::<_, RuleBody>(&mut json).unwrap_err();
        assert_eq!(refused.path().to_string(), path, "{rule}");
    }
}

#[test]
fn responses_have_the_normalized_input() {
    let conditions = json!([
        {"country": ["de", "AT", "DE"]},
        {"not": {"browser": ["safari", "Chrome", "SAFARI"]}},
        {"referrer": ["WWW.Example.com.", "bücher.de"]},
        {"address": ["10.1.2.3/8", "2001:DB8::1", "::ffff:192.0.2.0/120"]},
        {"query": {"name": "a", "any": ["2", "1", "2"]}},
        {"query": {"name": "b", "any": ["1"]}},
        {"date": {"from": "2026-12-01T01:00:00+01:00"}},
        {"time": {"from": "09:05", "until": "24:00", "time_zone": "europe/berlin"}},
        {"weekday": {"days": ["Sunday", "monday", "monday"], "time_zone": "utc"}}
    ]);
    let bodies = accept(rule(&conditions)).unwrap().bodies();
    let back = serde_json::to_value(bodies).unwrap();
    let normal = json!([{
        "id": "rule_00000000000000000000000001",
        "conditions": [
            {"country": ["AT", "DE"]},
            {"not": {"browser": ["Chrome", "SAFARI"]}},
            {"referrer": ["example.com", "xn--bcher-kva.de"]},
            {"address": ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::1/128"]},
            {"query": {"name": "a", "any": ["1", "2"]}},
            {"query": {"name": "b", "equals": "1"}},
            {"date": {"from": "2026-12-01T00:00:00Z"}},
            {"time": {"from": "09:05", "until": "00:00", "time_zone": "Europe/Berlin"}},
            {"weekday": {"days": ["monday", "sunday"], "time_zone": "UTC"}}
        ],
        "target": {"destination": "https://example.com/there"}
    }]);
    assert_eq!(back, normal);
}
