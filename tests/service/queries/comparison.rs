//! Comparisons with previous periods.

use super::fact::DIMENSIONS;
use super::filter::Filter;
use super::question::{METRICS, Question, Span};
use super::rng::Dice;
use super::runner::check;
use super::world::{CROWD_MONTH, world};

const COMPARISONS: [&str; 2] = ["previous_period", "previous_year"];

#[test]
fn rows_are_compared_with_the_span_before() {
    let world = world();
    let mut questions = Vec::new();
    for compare in COMPARISONS {
        for zone in ["UTC", "Europe/Berlin", "Australia/Lord_Howe"] {
            for span in [
                Span::days("2025-08-20", "2025-09-30"),
                // The clocks were changed in this span, or in the one before it.
                Span::days("2025-03-20", "2025-04-10"),
                Span::days("2025-04-07", "2025-04-20"),
                Span::days("2025-02-28", "2025-03-01"),
                Span::moments("2025-07-10T10:30:00Z", "2025-07-20T18:45:00.250Z"),
            ] {
                for dimensions in [vec![], vec!["country"], vec!["link", "device"], vec!["bot"]] {
                    questions.push(Question {
                        metrics: METRICS.to_vec(),
                        compare: Some(compare),
                        dimensions,
                        span,
                        zone,
                        ..Question::default()
                    });
                }
            }
        }
    }
    check(&world, &questions);
}

#[test]
fn every_dimension_can_be_compared() {
    let world = world();
    let mut dice = Dice::new(6);
    let mut questions = Vec::new();
    for dimension in DIMENSIONS {
        questions.push(Question {
            metrics: vec!["clicks", "bot_clicks", "last_click_at"],
            dimensions: vec![dimension],
            compare: Some(dice.pick(&COMPARISONS)),
            span: Span::days("2025-09-10", "2025-09-30"),
            bots: dice.pick(&["exclude", "include", "only"]),
            ..Question::default()
        });
    }
    check(&world, &questions);
}

/// The third day with the third day: buckets are compared by their place.
#[test]
fn buckets_are_compared_place_by_place() {
    let world = world();
    let mut questions = Vec::new();
    for compare in COMPARISONS {
        for (granularity, from, to) in [
            ("day", "2025-09-03", "2025-09-30"),
            ("hour", "2025-09-15", "2025-09-18"),
            ("week", "2025-08-04", "2025-09-28"),
        ] {
            for dimensions in [vec!["time"], vec!["device", "time"]] {
                questions.push(Question {
                    metrics: vec!["clicks", "unique_visitors", "bot_clicks"],
                    dimensions,
                    granularity: Some(granularity),
                    compare: Some(compare),
                    zone: "Europe/Berlin",
                    span: Span::days(from, to),
                    ..Question::default()
                });
            }
        }
    }
    check(&world, &questions);
}

/// Only the rows of the page are compared, and each is.
#[test]
fn a_page_is_compared() {
    let world = world();
    let page = |offset| Question {
        dimensions: vec!["city", "browser"],
        filter: Some(Filter::is("device", "is_not", "mobile")),
        compare: Some("previous_period"),
        span: Span::days("2025-09-01", "2025-09-30"),
        limit: 5,
        offset,
        ..Question::default()
    };
    check(&world, &[page(0), page(5), page(10), page(10_000)]);
}

/// What is shown is looked for in the span before: many rows of long texts, too.
#[test]
fn many_rows_are_compared() {
    let world = world();
    let question = |compare, limit| Question {
        dimensions: vec!["utm_content"],
        compare: Some(compare),
        span: Span::moments(CROWD_MONTH.0, CROWD_MONTH.1),
        limit,
        ..Question::default()
    };
    check(&world, &[question("previous_period", 100), question("previous_year", 10_000)]);
}

/// Before all of the time there was nothing.
#[test]
fn all_of_the_time_is_not_compared() {
    let world = world();
    for compare in COMPARISONS {
        let question = Question { compare: Some(compare), ..Question::default() }.json();
        let answer = world.server.api().post("/analytics/query", &question);
        answer.refuses(400, "VALIDATION_ERROR", &["compare"]);
    }
}
