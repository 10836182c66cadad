//! Distribution of visitors among variants.

use serde_json::{Value as Json, json};

use super::*;

const VISITORS: u64 = 100_000;

fn split(variants: &[(&str, i64)], more: Json) -> Json {
    let variants: Vec<_> = variants
        .iter()
        .map(|(name, weight)| {
            let destination = format!("https://example.com/{name}");
            json!({"name": name, "destination": destination, "weight": weight})
        })
        .collect();
    let mut split = json!({"variants": variants});
    if let Json::Object(more) = more {
        split.as_object_mut().unwrap().extend(more);
    }
    json!([{"target": {"split": split}}])
}

/// The name of each visitor's variant. The ids are consecutive, which exposes a bad hash.
fn variants(rules: Json, at_ms: u64) -> Vec<String> {
    let rules = accept(rules).unwrap();
    let compiled = CompiledRules::new(&rules);
    let of = |id: u64| {
        let chosen = compiled.decide(&Visitor { at_ms, id, ..somebody() }).unwrap();
        let destination = rules.destinations().nth(chosen.destination).unwrap().as_str();
        destination.rsplit('/').next().unwrap().to_owned()
    };
    (0..VISITORS).map(of).collect()
}

fn count(variants: &[String], name: &str) -> f64 {
    u32::try_from(variants.iter().filter(|variant| *variant == name).count()).unwrap().into()
}

/// Asserts a share within five standard deviations: a false alarm once in two million.
#[track_caller]
fn assert_share(found: f64, of: f64, share: f64) {
    let deviation = (of * share * (1.0 - share)).sqrt();
    assert!((found - of * share).abs() < 5.0 * deviation, "{found} of {of}, not {share}");
}

#[test]
fn each_variant_gets_its_share() {
    for weights in [
        vec![("a", 1), ("b", 1)],
        vec![("a", 70), ("b", 30)],
        vec![("a", 9_999), ("b", 1)],
        vec![("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5), ("f", 6), ("g", 7), ("h", 8)],
    ] {
        let total: i64 = weights.iter().map(|(_, weight)| weight).sum();
        let given = variants(split(&weights, Json::Null), 0);
        for (name, weight) in &weights {
            let share = f64::from(i32::try_from(*weight).unwrap())
                / f64::from(i32::try_from(total).unwrap());
            assert_share(count(&given, name), 100_000.0, share);
        }
    }
}

#[test]
fn a_visitor_keeps_the_variant_if_the_order_changes() {
    let given = variants(split(&[("a", 1), ("b", 2), ("c", 3)], Json::Null), 0);
    let later = variants(split(&[("c", 3), ("a", 1), ("b", 2)], Json::Null), u64::MAX);
    assert!(given == later);
    // The hash must never change: that would reassign visitors of running tests.
    assert_eq!(given[..12].concat(), "cbcaccacbaab");
}

#[test]
fn two_rules_assign_independently() {
    let mut rules = split(&[("a", 1), ("b", 1)], Json::Null);
    let first = variants(rules.clone(), 0);
    let other = json!({"conditions": [{"bot": true}], "target": target()});
    rules.as_array_mut().unwrap().insert(0, other);
    let second = variants(rules, 0);
    let same = first.iter().zip(&second).filter(|(one, other)| one == other).count();
    assert_share(u32::try_from(same).unwrap().into(), 100_000.0, 0.5);
}

#[test]
fn a_new_variant_takes_its_share_and_moves_nobody_else() {
    let two = variants(split(&[("a", 1), ("b", 1)], Json::Null), 0);
    let three = variants(split(&[("a", 1), ("b", 1), ("c", 1)], Json::Null), 0);
    for (before, after) in two.iter().zip(&three) {
        assert!(before == after || after == "c", "{before} → {after}");
    }
    assert_share(count(&three, "c"), 100_000.0, 1.0 / 3.0);
}

#[test]
fn a_larger_weight_only_moves_visitors_to_that_variant() {
    let even = variants(split(&[("a", 50), ("b", 50)], Json::Null), 0);
    let uneven = variants(split(&[("a", 60), ("b", 40)], Json::Null), 0);
    let moved = even.iter().zip(&uneven).filter(|(before, after)| before != after);
    let moved: Vec<_> = moved.collect();
    assert!(moved.iter().all(|(_, after)| *after == "a"));
    assert_share(u32::try_from(moved.len()).unwrap().into(), 100_000.0, 0.1);
}

#[test]
fn the_end_and_the_winner_settle_a_split() {
    let weights = [("a", 1), ("b", 5), ("c", 5)];
    let all_go_to = |more: Json, at_ms: u64| {
        let given = variants(split(&weights, more), at_ms);
        given.iter().all(|name| *name == given[0]).then(|| given[0].clone())
    };
    let end = ms("2026-12-01T00:00:00Z");
    let until = || json!({"until": "2026-12-01T00:00:00Z"});
    assert_eq!(all_go_to(until(), end - 1), None);
    assert_eq!(all_go_to(until(), end).as_deref(), Some("b"), "the first with the largest weight");
    assert_eq!(all_go_to(json!({"winner": "a"}), 0).as_deref(), Some("a"));
    let both = json!({"until": "2026-12-01T00:00:00Z", "winner": "c"});
    assert_eq!(all_go_to(both.clone(), end - 1).as_deref(), Some("c"));
    assert_eq!(all_go_to(both, end).as_deref(), Some("c"));
}
