//! Each metric by each dimension.

use super::fact::DIMENSIONS;
use super::filter::Filter;
use super::question::{METRICS, Question, Span};
use super::runner::check;
use super::world::{CROWD, CROWD_MONTH, world};

fn with_time() -> impl Iterator<Item = &'static str> {
    DIMENSIONS.into_iter().chain(["time"])
}

/// All metrics side by side, by nothing and by each dimension.
#[test]
fn every_metric_is_counted_by_every_dimension() {
    let world = world();
    let spans = [Span::All, Span::Named("30d"), Span::days("2025-01-10", "2025-02-20")];
    let mut questions = Vec::new();
    for span in spans {
        questions.push(Question { metrics: METRICS.to_vec(), span, ..Question::default() });
        questions.extend(with_time().map(|dimension| Question {
            metrics: METRICS.to_vec(),
            dimensions: vec![dimension],
            span,
            ..Question::default()
        }));
    }
    check(&world, &questions);
}

/// Each alone: nothing is counted that another metric would have been needed for.
#[test]
fn every_metric_is_counted_alone() {
    let world = world();
    let mut questions = Vec::new();
    for metric in METRICS {
        questions.extend(with_time().map(|dimension| Question {
            metrics: vec![metric],
            dimensions: vec![dimension],
            span: Span::days("2025-03-01", "2025-04-15"),
            granularity: Some("day").filter(|_| dimension == "time"),
            ..Question::default()
        }));
    }
    check(&world, &questions);
}

/// Visitors beyond some thousand are counted nearly, all else exactly.
#[test]
fn a_crowd_is_counted_nearly() {
    let world = world();
    let question = Question {
        metrics: METRICS.to_vec(),
        span: Span::moments(CROWD_MONTH.0, CROWD_MONTH.1),
        ..Question::default()
    };
    let answer = world.server.api().post("/analytics/query", &question.json()).expect(200).json();
    assert_eq!(answer["data"][0]["metrics"]["clicks"], CROWD);
    check(&world, &[question]);
}

#[test]
fn bots_are_left_out_or_taken_in() {
    let world = world();
    let metrics: [&[&str]; 4] = [&["clicks"], &["bot_clicks"], &["clicks", "bot_clicks"], &METRICS];
    let mut questions = Vec::new();
    for bots in ["exclude", "include", "only"] {
        for metrics in metrics {
            for dimensions in [&[][..], &["bot"], &["bot_reason"], &["link"], &["utm_term", "city"]]
            {
                questions.push(Question {
                    metrics: metrics.to_vec(),
                    dimensions: dimensions.to_vec(),
                    span: Span::days("2025-05-01", "2025-06-15"),
                    bots,
                    ..Question::default()
                });
            }
        }
    }
    check(&world, &questions);
}

#[test]
fn one_visitor_on_one_link_counts_once() {
    let world = world();
    let mut questions = Vec::new();
    for dedupe in ["none", "visitor", "1h"] {
        for bots in ["exclude", "include", "only"] {
            let all = METRICS.to_vec();
            let few = vec!["clicks", "qr_scans"];
            for (metrics, dimensions) in [
                (all.clone(), vec![]),
                (few.clone(), vec![]),
                (all.clone(), vec!["link"]),
                (few.clone(), vec!["link", "device"]),
                (few, vec!["time"]),
                (all.clone(), vec!["time", "link"]),
                (all, vec!["country"]),
            ] {
                questions.push(Question {
                    metrics,
                    dimensions,
                    // In Kolkata hours begin at half past: those that count once are UTC's.
                    span: Span::days("2025-06-01", "2025-07-04"),
                    zone: "Asia/Kolkata",
                    bots,
                    dedupe,
                    ..Question::default()
                });
            }
        }
    }
    check(&world, &questions);
}

/// Machines that came before any human are counted when they came.
#[test]
fn the_first_clicks_may_be_of_bots() {
    let world = world();
    let over_time = |bots, metrics: &[&'static str], granularity| Question {
        metrics: metrics.to_vec(),
        dimensions: vec!["time"],
        granularity: Some(granularity),
        bots,
        ..Question::default()
    };
    let mut questions = Vec::new();
    for bots in ["exclude", "include", "only"] {
        for granularity in ["day", "month"] {
            questions.push(over_time(bots, &["clicks"], granularity));
            questions.push(over_time(bots, &["bot_clicks"], granularity));
            questions.push(over_time(
                bots,
                &["clicks", "bot_clicks", "last_click_at"],
                granularity,
            ));
        }
    }
    // Of nobody at all: there is no first click.
    let nobody = Filter::is("country", "is", "AQ");
    questions.push(Question { filter: Some(nobody), ..over_time("exclude", &["clicks"], "day") });
    check(&world, &questions);
}
