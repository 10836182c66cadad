//! Batches of queries in one request.

use serde_json::{Value, json};
use slugline::domain::ids::LinkId;

use super::fact::DIMENSIONS;
use super::filter::{Filter, any_condition};
use super::question::{Question, Span};
use super::rng::Dice;
use super::runner::{ask_each, check};
use super::world::world;

/// An answer without what differs from time to time.
fn settled(mut answer: Value) -> Value {
    let meta = answer["meta"].as_object_mut().unwrap();
    meta.remove("elapsed_ms");
    meta.remove("as_of");
    // The queries of a batch read the same snapshot.
    meta.remove("rows_read");
    answer
}

#[test]
fn a_hundred_questions_are_answered_as_if_alone() {
    let world = world();
    let mut dice = Dice::new(9);
    let mut questions: Vec<_> = (0..100)
        .map(|_| {
            let question = Question {
                dimensions: dice.sample(&DIMENSIONS, 2),
                filter: Some(any_condition(&mut dice, &world)),
                span: Span::days("2025-05-01", "2025-05-20"),
                limit: 20,
                ..Question::default()
            };
            question.json()
        })
        .collect();
    questions[41]["dimensions"] = json!(["colour"]);
    let items = ask_each(&world, &questions);
    let api = world.server.api();
    for (number, (question, item)) in questions.iter().zip(items).enumerate() {
        let alone = api.post("/analytics/query", question);
        assert_eq!(item["status"], alone.status, "{question}: {item}");
        if number == 41 {
            alone.refuses(400, "VALIDATION_ERROR", &["dimensions[0]"]);
            assert!(item.get("answer").is_none(), "{item}");
            assert_eq!(item["problem"]["code"], "VALIDATION_ERROR");
            assert!(item["problem"]["errors"]["dimensions[0]"].is_array(), "{item}");
        } else {
            assert!(item.get("problem").is_none(), "{item}");
            assert_eq!(settled(item["answer"].clone()), settled(alone.expect(200).json()));
        }
    }
}

/// The statistics of one link after the other, which are read together.
#[test]
fn questions_about_many_links_are_answered_as_if_alone() {
    let world = world();
    let api = world.server.api();
    let never = LinkId::new(uuid::Uuid::now_v7()).to_string();
    let links: Vec<_> = world.links.iter().map(|link| link.id.clone()).chain([never]).collect();
    let of = |link: &str| json!({ "dimension": "link", "operator": "is", "value": link });
    let humans = json!({ "dimension": "country", "operator": "is_not", "value": "DE" });
    let mut questions = Vec::new();
    for range in [json!(["2024-10-01", "2025-06-30"]), json!("all")] {
        for dimensions in [
            json!([]),
            json!(["time"]),
            json!(["country"]),
            json!(["device", "time"]),
            json!(["link"]),
        ] {
            for (number, link) in links.iter().enumerate() {
                // Queries of the workspace, some of them identical, are among them.
                let filters = match number % 3 {
                    0 => of(link),
                    1 => json!([humans, of(link)]),
                    _ => json!([]),
                };
                questions.push(json!({
                    "metrics": ["clicks", "unique_visitors", "last_click_at", "clicks_per_visitor"],
                    "dimensions": dimensions, "date_range": range, "filters": filters,
                    "timezone": "Europe/Berlin", "granularity": "month", "limit": 7, "offset": number,
                }));
            }
        }
    }
    for questions in questions.chunks(100) {
        for (question, item) in questions.iter().zip(ask_each(&world, questions)) {
            let alone = api.post("/analytics/query", question).expect(200).json();
            let [together, alone] = [item["answer"].clone(), alone].map(|answer| {
                let mut answer = settled(answer);
                // `all` ends now.
                answer["meta"]["date_range"].as_object_mut().unwrap().remove("to");
                answer
            });
            assert_eq!(together, alone, "{question}");
        }
    }
}

#[test]
fn too_many_questions_are_refused() {
    let world = world();
    let ask = |count| {
        let queries: Vec<_> = (0..count).map(|_| Question::default().json()).collect();
        world.server.api().post("/analytics/batch", &json!({ "queries": queries }))
    };
    for count in [0, 101, 1_000] {
        ask(count).refuses(400, "VALIDATION_ERROR", &["queries"]);
    }
    ask(100).expect(200);
}

/// An invalid query fails alone, too.
#[test]
fn anything_may_stand_among_the_questions() {
    let world = world();
    let good = Question::default().json();
    let bad = [json!(null), json!(7), json!([]), json!("clicks"), json!({ "metric": "clicks" })];
    let mut all = vec![good.clone()];
    all.extend(bad);
    all.extend([json!({ "min_offset": 1 }), good]);
    let statuses: Vec<_> =
        ask_each(&world, &all).iter().map(|item| item["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 400, 400, 400, 400, 400, 400, 200]);
}

/// The statistics of ten thousand links are one question.
#[test]
fn ten_thousand_links_can_be_asked_for() {
    let world = world();
    let mut dice = Dice::new(10);
    let unknown = || LinkId::new(uuid::Uuid::from_u64_pair(dice.next(), dice.next())).to_string();
    let mut links: Vec<_> = std::iter::repeat_with(unknown).take(9_998).collect();
    links.insert(0, world.links[0].id.clone());
    links.insert(6_000, world.links[3].id.clone());
    let question = |operator, links: &[String]| Question {
        dimensions: vec!["link"],
        filter: Some(Filter::is("link", operator, json!(links))),
        ..Question::default()
    };
    check(&world, &[question("in", &links), question("is_not", &links)]);
    links.push(world.links[1].id.clone());
    let answer = world.server.api().post("/analytics/query", &question("in", &links).json());
    answer.refuses(400, "VALIDATION_ERROR", &["filters.value"]);
}
