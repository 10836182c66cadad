//! Evaluation of rules.

use std::cell::Cell;

use serde_json::{Value as Json, json};

use super::super::visitor::Needs;
use super::*;

#[test]
fn conditions_match_the_visitors_they_describe() {
    for (condition, expected) in [
        (json!({"country": ["AT", "DE"]}), true),
        (json!({"country": ["AT", "FR"]}), false),
        (json!({"continent": ["EU"]}), true),
        (json!({"continent": ["AS", "AF"]}), false),
        (json!({"region": ["land berlin"]}), true),
        (json!({"region": ["berlin"]}), false),
        (json!({"city": ["ZÜRICH", "Bern"]}), true),
        (json!({"city": ["Zurich"]}), false),
        (json!({"device": ["desktop", "mobile"]}), true),
        (json!({"device": ["desktop", "tablet", "bot", "other"]}), false),
        (json!({"os": ["IOS"]}), true),
        (json!({"os": ["Android", "iOS 17"]}), false),
        (json!({"browser": ["mobile safari"]}), true),
        (json!({"browser": ["safari"]}), false),
        (json!({"language": ["DE"]}), true),
        (json!({"language": ["en"]}), false),
        (json!({"query": {"name": "ref", "has": true}}), true),
        (json!({"query": {"name": "ref", "equals": "a b"}}), true),
        (json!({"query": {"name": "ref", "equals": "A b"}}), false),
        (json!({"query": {"name": "ref", "equals": "second"}}), false),
        (json!({"query": {"name": "Ref", "has": true}}), false),
        (json!({"query": {"name": "ref", "any": ["x", "a b"]}}), true),
        (json!({"query": {"name": "empty", "equals": ""}}), true),
        (json!({"query": {"name": "flag", "equals": ""}}), true),
        (json!({"query": {"name": "flag", "has": true}}), true),
        (json!({"query": {"name": "é", "equals": "1"}}), true),
        (json!({"query": {"name": "absent", "has": true}}), false),
        (json!({"referrer": ["x.com"]}), true),
        (json!({"referrer": ["t.co"]}), true),
        (json!({"referrer": ["com"]}), true),
        (json!({"referrer": ["ex.com", "news.x.com", "direct"]}), false),
        (json!({"address": ["192.0.2.0/24"]}), true),
        (json!({"address": ["192.0.2.7"]}), true),
        (json!({"address": ["::ffff:192.0.2.0/120"]}), true),
        (json!({"address": ["192.0.2.8/29", "10.0.0.0/8", "::/0"]}), false),
        (json!({"date": {"from": "2026-07-15T10:30:00Z"}}), true),
        (json!({"date": {"from": "2026-07-15T10:30:00.001Z"}}), false),
        (json!({"date": {"until": "2026-07-15T10:30:00Z"}}), false),
        (json!({"date": {"until": "2026-07-15T10:30:00.001Z"}}), true),
        (json!({"bot": false}), true),
        (json!({"bot": true}), false),
        (json!({"returning": false}), true),
        (json!({"returning": true}), false),
    ] {
        assert_eq!(holds(&condition, &somebody()), expected, "{condition}");
        if condition.get("bot").is_none() && condition.get("returning").is_none() {
            let negated = json!({"not": condition});
            assert_eq!(holds(&negated, &somebody()), !expected, "{negated}");
        }
    }
}

#[test]
fn unknown_facts_are_in_no_list() {
    let nobody = Visitor {
        country: "",
        region: "",
        city: "",
        device: Device::Other,
        os: "",
        browser: "",
        language: "",
        query: None,
        referrer: "",
        referrer_url: "",
        address: None,
        ..somebody()
    };
    for condition in [
        json!({"country": ["DE"]}),
        json!({"continent": ["EU"]}),
        json!({"region": ["x"]}),
        json!({"city": ["x"]}),
        json!({"device": ["desktop", "mobile", "tablet", "bot"]}),
        json!({"os": ["x"]}),
        json!({"browser": ["x"]}),
        json!({"language": ["de"]}),
        json!({"query": {"name": "a", "has": true}}),
        json!({"referrer": ["x.com"]}),
        json!({"address": ["0.0.0.0/0", "::/0"]}),
    ] {
        assert!(!holds(&condition, &nobody), "{condition}");
        assert!(holds(&json!({"not": condition}), &nobody), "{condition}");
    }
    assert!(holds(&json!({"referrer": ["direct"]}), &nobody));
}

#[test]
fn referrers_are_compared_by_domain_labels() {
    for (host, page, expected) in [
        ("example.com", "", true),
        ("news.example.com", "", true),
        ("a.b.example.com", "", true),
        ("notexample.com", "", false),
        ("example.com.evil.org", "", false),
        ("com", "", false),
        ("", "https://example.com:8443/path", true),
        ("", "https://evil.org/example.com", false),
        ("", "https://evil.org?example.com", false),
        ("", "http://[2001:db8::1]:80/", false),
        ("direct", "", false),
    ] {
        let visitor = Visitor { referrer: host, referrer_url: page, ..somebody() };
        let condition = json!({"referrer": ["example.com", "direct"]});
        assert_eq!(holds(&condition, &visitor), expected, "{host} {page}");
    }
}

#[test]
fn addresses_match_ranges_of_both_families() {
    let ranges = json!({"address": ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.1", "2001:db8::/32"]});
    for (address, expected) in [
        ("10.0.0.0", true),
        ("10.255.255.255", true),
        ("11.0.0.0", false),
        ("9.255.255.255", false),
        ("192.0.2.1", true),
        ("192.0.2.2", false),
        ("::ffff:10.1.2.3", true),
        ("2001:db8::1", true),
        ("2001:db9::", false),
    ] {
        let visitor = Visitor { address: address.parse().ok(), ..somebody() };
        assert_eq!(holds(&ranges, &visitor), expected, "{address}");
    }
}

#[test]
fn a_query_is_form_decoded() {
    let asked = json!({"query": {"name": "a b", "equals": "1&é%"}});
    for (query, expected) in [
        ("a+b=1%26%c3%A9%25", true),
        ("a%20b=1%26%C3%A9%", true),
        ("x&&a+b=1%26%C3%A9%&", true),
        ("a+b=1&é%", false),
        ("a+b=2&a+b=1%26%C3%A9%25", false),
        ("a%2=1", false),
        ("%", false),
        ("=", false),
        ("", false),
    ] {
        let visitor = Visitor { query: Some(query), ..somebody() };
        assert_eq!(holds(&asked, &visitor), expected, "{query}");
    }
    let long = format!("{}&a+b=1%26%C3%A9%25", "x".repeat(30_000));
    assert!(holds(&asked, &Visitor { query: Some(&long), ..somebody() }), "a long query");
}

#[test]
fn the_first_rule_whose_conditions_all_match_wins() {
    let to = |conditions: Json, path: &str| {
        let destination = format!("https://example.com/{path}");
        json!({"conditions": conditions, "target": {"destination": destination}})
    };
    let rules = json!([
        to(json!([{"country": ["DE"]}, {"device": ["desktop"]}]), "0"),
        to(
            json!([{"country": ["DE"]}, {"device": ["mobile"]}, {"not": {"bot": null, "os": ["Windows"]}}]),
            "1"
        ),
        to(json!([{"country": ["DE"]}]), "2"),
        to(json!([]), "3"),
    ]);
    let chosen = |visitor: Visitor<'_>| decide(rules.clone(), &visitor).unwrap().rule;
    assert_eq!(chosen(somebody()), 1);
    assert_eq!(chosen(Visitor { device: Device::Desktop, ..somebody() }), 0);
    assert_eq!(chosen(Visitor { os: "Windows", ..somebody() }), 2);
    assert_eq!(chosen(Visitor { country: "", ..somebody() }), 3);
    assert_eq!(decide(rule(&json!([{"country": ["FR"]}])), &somebody()), None);
    assert_eq!(decide(json!([]), &somebody()), None);
}

#[test]
fn destinations_are_numbered_across_all_rules() {
    let rules = accept(json!([
        {"conditions": [{"bot": true}], "target": {"destination": "https://example.com/0"}},
        {"conditions": [{"country": ["DE"]}], "target": {"split": {"winner": "b", "variants": [
            {"name": "a", "destination": "https://example.com/1", "weight": 1},
            {"name": "b", "destination": "https://example.com/2", "weight": 1}
        ]}}},
        {"target": {"destination": "https://example.com/3"}}
    ]))
    .unwrap();
    let compiled = CompiledRules::new(&rules);
    let to = |visitor: Visitor<'_>| {
        let chosen = compiled.decide(&visitor).unwrap();
        let destination = rules.destinations().nth(chosen.destination).unwrap();
        (chosen.rule, chosen.variant, destination.as_str().to_owned())
    };
    assert_eq!(to(somebody()), (1, Some(1), "https://example.com/2".to_owned()));
    assert_eq!(
        to(Visitor { is_bot: true, ..somebody() }),
        (0, None, "https://example.com/0".to_owned())
    );
    assert_eq!(
        to(Visitor { country: "", ..somebody() }),
        (2, None, "https://example.com/3".to_owned())
    );
}

#[test]
fn only_used_facts_are_needed_and_expensive_ones_are_evaluated_once_and_last() {
    let needs = |rules: Json| CompiledRules::new(&accept(rules).unwrap()).needs;
    assert_eq!(needs(json!([])), Needs::NONE);
    assert_eq!(needs(rule(&json!([{"country": ["DE"]}]))), Needs::PLACE);
    assert_eq!(
        needs(rule(&json!([{"bot": true}, {"language": ["de"]}]))),
        Needs::AGENT | Needs::LANGUAGE
    );
    assert!(needs(rule(&json!([{"returning": true}]))).any(Needs::RETURNING));

    let asked = Cell::new(0);
    let returning = || {
        asked.set(asked.get() + 1);
        true
    };
    let visitor = Visitor { returning: &returning, ..somebody() };
    let rules = json!([
        {"conditions": [{"returning": true}, {"country": ["FR"]}], "target": target()},
        {"conditions": [{"returning": true}, {"city": ["Bern"]}], "target": target()},
    ]);
    assert_eq!(decide(rules, &visitor), None);
    assert_eq!(asked.get(), 0);
    let rules = json!([
        {"conditions": [{"returning": false}, {"country": ["DE"]}], "target": target()},
        {"conditions": [{"returning": true}], "target": target()},
    ]);
    assert_eq!(decide(rules, &visitor).unwrap().rule, 1);
    assert_eq!(asked.get(), 1);
}
