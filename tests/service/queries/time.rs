//! Clicks over time: buckets of each length, across changes of the clocks.

use jiff::civil::{Date, date};
use jiff::{Span as Length, Timestamp};

use super::buckets::{day_start, local, zone as tz};
use super::filter::Filter;
use super::question::{Question, Span};
use super::runner::{ask_each, check};
use super::world::{CHANGES, DAY_MS, HOUR_MS, MINUTE_MS, ms, world};

const ZONES: [&str; 6] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Asia/Kolkata",
];

fn over_time(granularity: &'static str, zone: &'static str, span: Span) -> Question {
    Question {
        metrics: vec!["clicks", "unique_visitors"],
        dimensions: vec!["time"],
        granularity: Some(granularity),
        zone,
        span,
        bots: "include",
        ..Question::default()
    }
}

/// Around each change of the clocks, in each zone: those that change theirs there, and others.
#[test]
fn buckets_follow_the_clocks_where_they_are_changed() {
    let world = world();
    let mut questions = Vec::new();
    for change in CHANGES.map(ms) {
        for zone in ZONES {
            let day = Span::Moments(change - DAY_MS, change + DAY_MS);
            questions.push(over_time("hour", zone, day));
            let days = Span::Moments(change - 3 * DAY_MS, change + 3 * DAY_MS + HOUR_MS / 2);
            questions.push(over_time("day", zone, days));
            let night = Span::Moments(change - 2 * HOUR_MS, change + 2 * HOUR_MS);
            questions.push(over_time("minute", zone, night));
        }
    }
    check(&world, &questions);
}

/// Where a day is left out, has no midnight, or has two; where clocks are changed by two hours.
#[test]
fn buckets_follow_stranger_clocks_too() {
    let world = world();
    let mut questions = Vec::new();
    for (zone, around) in [
        ("Pacific/Apia", "2011-12-30T10:00:00Z"),
        ("America/Sao_Paulo", "2018-11-04T03:00:00Z"),
        ("America/Sao_Paulo", "2019-02-17T02:00:00Z"),
        ("America/Havana", "2024-03-10T05:00:00Z"),
        ("America/Havana", "2024-11-03T05:00:00Z"),
        ("Asia/Beirut", "2025-03-29T22:00:00Z"),
        ("Antarctica/Troll", "2025-03-30T01:00:00Z"),
        ("Antarctica/Troll", "2025-10-26T01:00:00Z"),
        ("Asia/Pyongyang", "2018-05-04T15:00:00Z"),
        ("America/Caracas", "2016-05-01T07:00:00Z"),
        ("Asia/Kathmandu", "1985-12-31T18:30:00Z"),
        ("Africa/Casablanca", "2025-02-23T02:00:00Z"),
    ] {
        let around = ms(around);
        for (granularity, days) in [("hour", 2), ("day", 5), ("week", 20), ("month", 70)] {
            let span = Span::Moments(around - days * DAY_MS, around + days * DAY_MS);
            questions.push(over_time(granularity, zone, span));
        }
    }
    check(&world, &questions);
}

/// Whole days on which the clocks are changed have the hours that they have.
#[test]
fn days_of_changed_clocks_are_whole() {
    let world = world();
    let mut questions = Vec::new();
    for (zone, day, hours) in [
        ("Europe/Berlin", "2025-03-30", 23),
        ("Europe/Berlin", "2024-10-27", 25),
        ("America/New_York", "2025-03-09", 23),
        ("America/New_York", "2024-11-03", 25),
        ("Africa/Cairo", "2025-04-25", 23),
        ("Africa/Cairo", "2024-10-31", 25),
        // Half an hour more, half an hour less: each has a part of an hour.
        ("Australia/Lord_Howe", "2024-10-06", 24),
        ("Australia/Lord_Howe", "2025-04-06", 25),
    ] {
        let question = over_time("hour", zone, Span::days(day, day));
        let answer = &ask_each(&world, &[question.json()])[0]["answer"];
        assert_eq!(answer["meta"]["total_rows"], hours, "{zone} {day}: {answer}");
        questions.push(question);
    }
    check(&world, &questions);
}

/// A span that begins within an hour of which a part is cut off, or that is shown twice.
#[test]
fn spans_may_begin_amid_a_change() {
    let world = world();
    let mut questions = Vec::new();
    for change in CHANGES.map(ms) {
        for zone in &ZONES[1..5] {
            for minutes in [-70, -40, -10, 10, 20, 40, 70] {
                let from = change + minutes * MINUTE_MS;
                questions.push(over_time("hour", zone, Span::Moments(from, from + 5 * HOUR_MS)));
            }
        }
    }
    check(&world, &questions);
}

#[test]
fn every_granularity_has_its_buckets_in_every_zone() {
    let world = world();
    let mut questions = Vec::new();
    for zone in ZONES {
        for (granularity, from, to) in [
            ("minute", "2025-01-07T10:20:30Z", "2025-01-09T01:02:03Z"),
            ("hour", "2025-02-27T10:20:30Z", "2025-03-20T01:02:03Z"),
            ("day", "2024-10-20T10:20:30Z", "2025-04-20T01:02:03Z"),
            ("week", "2024-09-03T10:20:30Z", "2025-09-20T01:02:03Z"),
            ("month", "2024-09-03T10:20:30Z", "2025-09-20T01:02:03Z"),
            ("quarter", "2024-06-03T10:20:30Z", "2025-09-20T01:02:03Z"),
            ("year", "2022-12-31T23:30:00Z", "2025-09-20T01:02:03Z"),
        ] {
            let span = Span::moments(from, to);
            questions.push(over_time(granularity, zone, span));
            let by_device = over_time(granularity, zone, span);
            let dimensions = vec!["device", "time"];
            if !["minute", "hour"].contains(&granularity) {
                questions.push(Question { dimensions, ..by_device });
            }
        }
        for granularity in ["week", "month", "quarter", "year"] {
            questions.push(over_time(granularity, zone, Span::All));
        }
        let auto = over_time("day", zone, Span::days("2025-02-03", "2025-02-09"));
        questions.push(Question { granularity: None, ..auto });
    }
    check(&world, &questions);
}

/// A series for each value of the other dimensions that there is, and for no other.
#[test]
fn each_series_is_filled_with_zeros() {
    let world = world();
    let span = Span::days("2025-03-27", "2025-04-02");
    let base = over_time("day", "Europe/Berlin", span);
    let questions = [
        Question { dimensions: vec!["time", "country"], ..base.clone() },
        Question { dimensions: vec!["link", "time", "device"], ..base.clone() },
        Question { dimensions: vec!["time", "tag"], bots: "exclude", ..base.clone() },
        Question { order: vec![("clicks", true), ("time", true)], ..base.clone() },
        Question {
            dimensions: vec!["time", "browser"],
            order: vec![("browser", false), ("time", false)],
            limit: 9,
            offset: 5,
            ..base.clone()
        },
        Question { filter: Some(Filter::is("city", "is", "Atlantis")), ..base.clone() },
        Question {
            filter: Some(Filter::is("city", "is", "Atlantis")),
            dimensions: vec!["city", "time"],
            ..base.clone()
        },
        Question { bots: "exclude", metrics: vec!["clicks", "bot_clicks"], ..base },
    ];
    check(&world, &questions);
}

#[test]
fn too_many_buckets_are_refused() {
    let world = world();
    let span = Span::days("2024-01-01", "2024-12-31");
    for granularity in ["minute", "hour"] {
        let question = over_time(granularity, "UTC", span).json();
        let answer = world.server.api().post("/analytics/query", &question);
        answer.refuses(400, "VALIDATION_ERROR", &["granularity"]);
    }
}

/// The named spans in a zone: when each begins, and when it ends if that isn't now.
fn named_spans(zone: &'static str) -> Vec<(&'static str, i64, Option<i64>)> {
    let now = Timestamp::now().as_millisecond();
    let today = local(now, &tz(zone)).date();
    let (year, month) = (today.year(), today.month());
    let start = |day: Date| day_start(day, &tz(zone));
    let day = |days: i64| start(today.checked_sub(Length::new().days(days)).unwrap());
    let month_of = |months: i64| {
        start(date(year, month, 1).checked_sub(Length::new().months(months)).unwrap())
    };
    let monday = i64::from(today.weekday().to_monday_zero_offset());
    let quarter = i64::from(month - 1) % 3;
    // Hours begin at half past where the zone has half an hour.
    let hour = |at| super::buckets::buckets(at, at + 1, "hour", &tz(zone))[0].start_ms;
    vec![
        ("1h", hour(now), None),
        ("24h", hour(now - 23 * HOUR_MS), None),
        ("today", day(0), None),
        ("1d", day(0), None),
        ("7d", day(6), None),
        ("30d", day(29), None),
        ("400d", day(399), None),
        ("wtd", day(monday), None),
        ("1w", day(monday), None),
        ("4w", day(monday + 21), None),
        ("mtd", month_of(0), None),
        ("12mo", month_of(11), None),
        ("qtd", month_of(quarter), None),
        ("ytd", start(date(year, 1, 1)), None),
        ("3y", start(date(year - 2, 1, 1)), None),
        ("yesterday", day(1), Some(day(0))),
        ("last_week", day(monday + 7), Some(day(monday))),
        ("last_month", month_of(1), Some(month_of(0))),
        ("last_quarter", month_of(quarter + 3), Some(month_of(quarter))),
        ("last_year", start(date(year - 1, 1, 1)), Some(start(date(year, 1, 1)))),
    ]
}

#[test]
fn named_spans_are_those_of_the_calendar() {
    let world = world();
    for zone in ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York"] {
        let asked = |name| Question {
            span: Span::Named(name),
            bots: "include",
            zone,
            ..Question::default()
        };
        // Asked again where an hour or a day ended in between.
        let (spans, questions, items) = loop {
            let spans = named_spans(zone);
            let questions: Vec<_> = spans.iter().map(|(name, ..)| asked(name)).collect();
            let bodies: Vec<_> = questions.iter().map(Question::json).collect();
            let items = ask_each(&world, &bodies);
            if named_spans(zone) == spans {
                break (spans, questions, items);
            }
        };
        let now = Timestamp::now().as_millisecond();
        for ((name, from, to), item) in spans.into_iter().zip(items) {
            let range = &item["answer"]["meta"]["date_range"];
            let edge = |edge: &str| range[edge].as_str().map(ms);
            assert_eq!(edge("from"), Some(from), "{name} in {zone}: {item}");
            let until = edge("to").unwrap();
            let is_so = to.map_or((now - MINUTE_MS..=now + 1).contains(&until), |to| to == until);
            assert!(is_so, "{name} in {zone}: {item}");
        }
        check(&world, &questions);
    }
}
