//! Pagination and sorting of rows.

use serde_json::Value;

use super::fact::DIMENSIONS;
use super::question::{Question, Span};
use super::rng::Dice;
use super::runner::{ask_each, check};
use super::world::{World, world};

/// Metrics that are counted exactly of any clicks.
const EXACT: [&str; 5] = ["clicks", "bot_clicks", "qr_scans", "conversions", "last_click_at"];

fn any_question(dice: &mut Dice) -> Question {
    let count = 2 + dice.index(2);
    let all: Vec<_> = DIMENSIONS.into_iter().chain(["time"]).collect();
    let dimensions = dice.sample(&all, count);
    let count = 1 + dice.index(3);
    let metrics = dice.sample(&EXACT, count);
    let keys: Vec<_> = dimensions.iter().chain(&metrics).copied().collect();
    let count = dice.index(4);
    let order = dice.sample(&keys, count);
    Question {
        granularity: dimensions.contains(&"time").then_some("month"),
        order: order.into_iter().map(|key| (key, dice.per_cent(50))).collect(),
        bots: dice.pick(&["exclude", "include", "only"]),
        span: Span::days("2025-02-01", "2025-04-20"),
        metrics,
        dimensions,
        ..Question::default()
    }
}

#[test]
fn rows_by_two_and_three_dimensions_are_whole_and_in_order() {
    let world = world();
    let mut dice = Dice::new(2);
    let questions: Vec<_> = (0..100).map(|_| any_question(&mut dice)).collect();
    check(&world, &questions);
}

/// By each dimension alone, up and down: a link's id, a version's number, a text.
#[test]
fn rows_are_ordered_by_the_values_that_are_shown() {
    let world = world();
    let mut questions = Vec::new();
    for dimension in DIMENSIONS {
        for (other, is_descending) in [(None, false), (None, true), (Some("time"), false)] {
            questions.push(Question {
                dimensions: [Some(dimension), other].into_iter().flatten().collect(),
                order: vec![(dimension, is_descending)],
                span: Span::days("2025-01-01", "2025-02-20"),
                granularity: other.map(|_| "month"),
                ..Question::default()
            });
        }
    }
    check(&world, &questions);
}

/// The pages of an answer are the answer: nothing is missing, nothing twice.
fn check_pages(world: &World, whole: &Question, size: usize) {
    let rows = |item: &Value| item["answer"]["data"].as_array().unwrap().clone();
    let all = rows(&ask_each(world, &[whole.json()])[0]);
    let pages: Vec<_> = (0..=all.len() / size + 1)
        .map(|page| Question { limit: size, offset: page * size, ..whole.clone() })
        .collect();
    let bodies: Vec<_> = pages.iter().map(Question::json).collect();
    let items = ask_each(world, &bodies);
    for item in &items {
        assert_eq!(item["answer"]["meta"]["total_rows"], all.len(), "{}", whole.json());
    }
    let together: Vec<_> = items.iter().flat_map(rows).collect();
    assert_eq!(together, all, "{}", whole.json());
    let last = pages.len() - 1;
    let some: Vec<_> = [0, 1, last / 2, last].map(|page| pages[page].clone()).into();
    check(world, &some);
}

#[test]
fn pages_together_are_all_rows() {
    let world = world();
    let mut dice = Dice::new(3);
    for _ in 0..8 {
        let question = any_question(&mut dice);
        let filler = Question { span: Span::days("2025-03-20", "2025-04-09"), ..question };
        check_pages(&world, &filler, 37);
    }
    let by = |dimensions: &[&'static str]| Question {
        dimensions: dimensions.to_vec(),
        span: Span::days("2025-03-20", "2025-04-09"),
        ..Question::default()
    };
    check_pages(&world, &by(&["country"]), 3);
    check_pages(&world, &by(&["time"]), 5);
    check_pages(&world, &by(&[]), 1);
    check_pages(&world, &by(&["link", "time"]), 11);
}
