//! Random well-formed queries are answered, and never with another workspace's clicks.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use super::fact::DIMENSIONS;
use super::filter::any_tree;
use super::question::{METRICS, Question, Span};
use super::rng::Dice;
use super::runner::judge;
use super::world::{DAY_MS, DAYS, FOREIGN, HOUR_MS, World, ms, world};

fn some_of(
    names: Vec<&'static str>,
    from: usize,
    to: usize,
) -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(names, from..=to).prop_shuffle()
}

fn span() -> impl Strategy<Value = Span> {
    let begin = ms(super::world::BEGIN);
    let from = begin..begin + DAYS * DAY_MS;
    prop_oneof![
        1 => Just(Span::All),
        1 => proptest::sample::select(vec!["90d", "12mo", "10000d", "3y", "ytd", "last_month"])
            .prop_map(Span::Named),
        6 => (from, 1..90 * 24_i64).prop_map(|(from, hours)| {
            Span::Moments(from, from + hours * HOUR_MS)
        }),
    ]
}

/// A question and the seed of its filter.
fn question() -> impl Strategy<Value = (Question, u64)> {
    let dimensions: Vec<_> = DIMENSIONS.into_iter().chain(["time"]).collect();
    let what = (some_of(METRICS.to_vec(), 1, 4), some_of(dimensions, 0, 3), span());
    let zones = vec!["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"];
    let how = (
        proptest::sample::select(zones),
        proptest::sample::select(vec!["day", "week", "month", "quarter", "year"]),
        proptest::sample::select(vec!["exclude", "include", "only"]),
        proptest::sample::select(vec!["none", "visitor", "1h"]),
    );
    let which = (1..400_usize, 0..60_usize, any::<u64>(), any::<[bool; 3]>());
    (what, how, which).prop_map(|(what, how, which)| {
        let (metrics, dimensions, span) = what;
        let (zone, granularity, bots, dedupe) = how;
        let (limit, offset, seed, [is_ordered, is_descending, is_compared]) = which;
        let keys = dimensions.iter().chain(&metrics).take(if is_ordered { 2 } else { 0 });
        let order = keys.map(|key| (*key, is_descending)).collect();
        let can_compare = is_compared && matches!(span, Span::Moments(..));
        let compare = can_compare.then_some("previous_year");
        let granularity = dimensions.contains(&"time").then_some(granularity);
        let question = Question {
            metrics,
            dimensions,
            filter: None,
            span,
            zone,
            granularity,
            order,
            limit,
            offset,
            compare,
            bots,
            dedupe,
        };
        (question, seed)
    })
}

fn ask(world: &World, question: &Question) -> Result<(), TestCaseError> {
    let body = question.json();
    let answer = world.server.api().post("/analytics/query", &body);
    let is_answer = [200, 400, 422].contains(&answer.status);
    prop_assert!(is_answer, "{body}: {answer:?}");
    // What is refused is refused for its cost alone.
    if answer.status != 200 {
        let is_costly = answer.status == 422 || answer.text.contains("buckets");
        prop_assert!(is_costly, "{body}: {answer:?}");
        return Ok(());
    }
    let answer = answer.json();
    prop_assert!(!answer.to_string().contains(FOREIGN), "{body}: {answer}");
    let judged = judge(world, question, &answer);
    prop_assert!(judged.is_ok(), "{body}\n  {}", judged.unwrap_err());
    Ok(())
}

#[test]
fn any_question_is_answered_from_its_own_workspace() {
    let world = world();
    let config = Config { failure_persistence: None, ..Config::with_cases(150) };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[11; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&question(), |(question, seed)| {
        let filter = (seed % 3 > 0).then(|| any_tree(&mut Dice::new(seed), &world, 3));
        ask(&world, &Question { filter, ..question })
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// Even who asks for them by name doesn't see them.
#[test]
fn the_other_workspaces_clicks_are_not_there() {
    let world = world();
    let api = world.server.api();
    let ask = |body: Value| api.post("/analytics/query", &body).expect(200).data();
    let named = |operator: &str, value: Value| json!({ "dimension": "utm_campaign", "operator": operator, "value": value });
    for filter in [
        named("is", json!(FOREIGN)),
        named("in", json!([FOREIGN, "none"])),
        named("contains", json!("FOREI")),
        named("matches", json!("^f.*n$")),
        json!({ "not": { "not": named("is", json!(FOREIGN)) } }),
        json!({ "and": [{ "or": [named("is", json!(FOREIGN)), { "or": [] }] }] }),
    ] {
        let body = json!({ "filters": filter, "date_range": "all", "bots": "include" });
        assert_eq!(ask(body)[0]["metrics"]["clicks"], 0, "{filter}");
    }
}

/// Spans at the ends of the calendar are counted or refused.
#[test]
fn spans_may_reach_to_the_ends_of_the_calendar() {
    let world = world();
    let api = world.server.api();
    let all = api.post("/analytics/query", &json!({ "date_range": "all" })).expect(200).data();
    for range in [
        json!(["1970-01-01", "2100-01-01"]),
        json!(["1900-01-01", "2299-12-30"]),
        json!(["1969-12-31", "9000-01-01"]),
        json!(["0001-01-01", "9999-12-29"]),
        json!(["-009999-01-03", "9999-12-29"]),
        json!(["0001-01-01T00:00:00Z", "9999-12-29T00:00:00Z"]),
        json!("10000d"),
        json!("1000y"),
        json!("10000h"),
        json!("10000mo"),
        json!("10000y"),
    ] {
        for extra in [json!([]), json!(["time"])] {
            for compare in [Value::Null, json!("previous_year"), json!("previous_period")] {
                let body = json!({
                    "date_range": range,
                    "dimensions": extra,
                    "granularity": "year",
                    "compare": compare,
                });
                let answer = api.post("/analytics/query", &body);
                assert!([200, 400].contains(&answer.status), "{body}: {answer:?}");
                if answer.status == 200 && range != "10000h" && extra == json!([]) {
                    let clicks = &answer.data()[0]["metrics"]["clicks"];
                    assert_eq!(*clicks, all[0]["metrics"]["clicks"], "{body}");
                }
            }
        }
    }
}
