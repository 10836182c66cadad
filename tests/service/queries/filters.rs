//! Filters: each operator on each dimension, and condition trees.

use serde_json::{Value, json};

use super::fact::{DIMENSIONS, is_text, place};
use super::filter::{Filter, any_tree};
use super::question::{Question, Span};
use super::rng::Dice;
use super::runner::check;
use super::world::{World, world};

fn asked(filter: Filter) -> Question {
    Question {
        metrics: vec!["clicks", "bot_clicks"],
        filter: Some(filter),
        span: Span::days("2024-12-01", "2025-03-31"),
        bots: "include",
        ..Question::default()
    }
}

/// The values of a dimension that there are, the unknown one as null.
fn values(world: &World, dimension: &str) -> Vec<Value> {
    let at = place(dimension);
    let mut values: Vec<_> = world.clicks.iter().map(|click| click.value(at)).collect();
    values.sort_unstable();
    values.dedup();
    values.truncate(12);
    let value = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
    values.into_iter().map(value).collect()
}

#[test]
fn every_operator_is_understood_on_every_dimension() {
    let world = world();
    let mut questions = Vec::new();
    for dimension in DIMENSIONS {
        let mut add = |operator, value: Value| {
            questions.push(asked(Filter::is(dimension, operator, value)));
        };
        let values = values(&world, dimension);
        for operator in ["is", "is_not", "in"] {
            add(operator, values[0].clone());
            add(operator, values[values.len() - 1].clone());
            add(operator, values.iter().step_by(2).cloned().collect());
            add(operator, json!([]));
        }
        add("is_set", json!(true));
        add("is_set", json!(false));
        if !is_text(dimension) {
            continue;
        }
        let text = values[values.len() - 1].as_str().unwrap_or("a").to_owned();
        let letters: Vec<char> = text.chars().collect();
        let middle: String = letters[letters.len() / 3..].iter().take(4).collect();
        for part in ["", "a", "E", "ü", "Ü", &middle, &middle.to_uppercase()] {
            add("contains", json!(part));
        }
        for pattern in ["", "^$", ".", "^.{3,8}$", "[aeiou]{2}", "(?i)^s.*e$", "^(a|b)+$", r"\d"] {
            add("matches", json!(pattern));
        }
        add("matches", json!(regex::escape(&middle)));
    }
    questions.push(asked(Filter::is("domain", "is", "links.example")));
    questions.push(asked(Filter::is("domain", "is_not", "links.example")));
    questions.push(asked(Filter::is("link_version", "is", 7)));
    questions.push(asked(Filter::is("link_version", "in", json!([1, 2, 77]))));
    questions.push(asked(Filter::is("bot", "is", true)));
    questions.push(asked(Filter::is("bot", "is_not", true)));
    check(&world, &questions);
}

/// A link is named by its slug as well as by its id.
#[test]
fn links_are_named_by_slug_or_id() {
    let world = world();
    let link = &world.links[1];
    let by_id = asked(Filter::is("link", "is", link.id.clone()));
    let mut by_slug = by_id.json();
    by_slug["filters"]["value"] = json!([link.slug]);
    let api = world.server.api();
    let rows = |body: &Value| api.post("/analytics/query", body).expect(200).data();
    assert_eq!(rows(&by_slug), rows(&by_id.json()));
    check(&world, &[by_id]);
    for nothing in ["no-such-slug", "", "link_", "' OR 1=1 --"] {
        by_slug["filters"]["value"] = json!([link.slug, nothing]);
        let answer = api.post("/analytics/query", &by_slug);
        answer.refuses(400, "VALIDATION_ERROR", &["filters.value"]);
    }
}

#[test]
fn conditions_hold_in_any_tree() {
    let world = world();
    let mut dice = Dice::new(4);
    let tree = |dice: &mut Dice| {
        let dimensions = dice.sample(&DIMENSIONS, 1);
        let filter = Some(any_tree(dice, &world, 4));
        Question {
            dimensions,
            filter,
            bots: dice.pick(&["exclude", "include", "only"]),
            span: Span::days("2025-01-15", "2025-03-15"),
            ..Question::default()
        }
    };
    let questions: Vec<_> = (0..300).map(|_| tree(&mut dice)).collect();
    check(&world, &questions);
}

/// A list stands for its conditions, all of them; an empty one for none.
#[test]
fn a_list_of_conditions_holds_as_a_whole() {
    let world = world();
    let one = Filter::is("country", "is", "DE");
    let other = Filter::is("device", "is_not", "mobile");
    let both = asked(Filter::And(vec![one.clone(), other.clone()]));
    let mut listed = both.json();
    let api = world.server.api();
    let rows = |body: &Value| api.post("/analytics/query", body).expect(200).data();
    let wanted = rows(&listed);
    listed["filters"] = json!([one.json(), other.json()]);
    assert_eq!(rows(&listed), wanted);
    let none = asked(Filter::And(Vec::new()));
    listed["filters"] = json!([]);
    assert_eq!(rows(&listed), rows(&none.json()));
    check(&world, &[both, none, asked(Filter::Or(Vec::new()))]);
}

/// Up to a hundred conditions, up to eight levels deep.
#[test]
fn trees_may_grow_up_to_their_bounds() {
    let world = world();
    let leaf = || Filter::is("country", "is_not", "DE");
    let deep = |levels| (0..levels).fold(leaf(), |filter, _| Filter::Not(Box::new(filter)));
    let wide = |count| Filter::And((0..count).map(|_| leaf()).collect());
    check(&world, &[asked(deep(8)), asked(deep(7)), asked(wide(100)), asked(wide(1))]);
    for (filter, field) in [
        (deep(9), format!("filters{}", ".not".repeat(9))),
        (wide(101), "filters.and[100]".to_owned()),
    ] {
        let answer = world.server.api().post("/analytics/query", &asked(filter).json());
        answer.refuses(400, "VALIDATION_ERROR", &[&field]);
    }
}
