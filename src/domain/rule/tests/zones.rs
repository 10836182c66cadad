//! Times of day and weekdays, with and without daylight saving time.

use serde_json::json;

use super::*;

#[track_caller]
fn check_times(from: &str, until: &str, zone: &str, cases: &[(&str, bool)]) {
    let condition = json!({"time": {"from": from, "until": until, "time_zone": zone}});
    for (at, expected) in cases {
        let visitor = Visitor { at_ms: ms(at), ..somebody() };
        assert_eq!(holds(&condition, &visitor), *expected, "{condition} at {at}");
    }
}

#[test]
fn a_window_is_in_local_time() {
    check_times(
        "09:00",
        "17:30",
        "Europe/Berlin",
        &[
            ("2026-01-15T07:59:59Z", false),
            ("2026-01-15T08:00:00Z", true),
            ("2026-01-15T16:29:59.999Z", true),
            ("2026-01-15T16:30:00Z", false),
            ("2026-07-15T07:00:00Z", true),
            ("2026-07-15T15:30:00Z", false),
        ],
    );
    // Offsets of half and quarter hours, and a date that differs from UTC.
    check_times(
        "00:00",
        "01:00",
        "Asia/Kathmandu",
        &[
            ("2026-01-15T18:14:59Z", false),
            ("2026-01-15T18:15:00Z", true),
            ("2026-01-15T19:15:00Z", false),
        ],
    );
    check_times(
        "23:00",
        "24:00",
        "Pacific/Honolulu",
        &[("2026-01-15T09:00:00Z", true), ("2026-01-15T10:00:00Z", false)],
    );
}

#[test]
fn a_window_may_cross_midnight() {
    check_times(
        "22:00",
        "06:00",
        "Europe/Berlin",
        &[
            ("2026-01-15T20:59:00Z", false),
            ("2026-01-15T21:00:00Z", true),
            ("2026-01-15T23:30:00Z", true),
            ("2026-01-16T04:59:00Z", true),
            ("2026-01-16T05:00:00Z", false),
        ],
    );
}

#[test]
fn a_skipped_hour_is_in_no_window() {
    // On 29 March 2026 clocks skip from 02:00 to 03:00, at 01:00 UTC.
    check_times(
        "02:00",
        "03:00",
        "Europe/Berlin",
        &[
            ("2026-03-28T01:30:00Z", true),
            ("2026-03-29T00:59:59Z", false),
            ("2026-03-29T01:00:00Z", false),
            ("2026-03-30T00:30:00Z", true),
        ],
    );
    check_times(
        "02:30",
        "03:30",
        "Europe/Berlin",
        &[
            ("2026-03-29T00:59:59Z", false),
            ("2026-03-29T01:00:00Z", true),
            ("2026-03-29T01:29:59Z", true),
            ("2026-03-29T01:30:00Z", false),
        ],
    );
}

#[test]
fn a_repeated_hour_is_in_the_window_twice() {
    // On 25 October 2026 it is 02:00 twice, at 00:00 and 01:00 UTC.
    check_times(
        "02:15",
        "02:45",
        "Europe/Berlin",
        &[
            ("2026-10-25T00:14:00Z", false),
            ("2026-10-25T00:15:00Z", true),
            ("2026-10-25T00:45:00Z", false),
            ("2026-10-25T01:00:00Z", false),
            ("2026-10-25T01:15:00Z", true),
            ("2026-10-25T01:45:00Z", false),
        ],
    );
    // On Lord Howe Island clocks go back by half an hour, from 02:00 to 01:30.
    check_times(
        "01:30",
        "02:00",
        "Australia/Lord_Howe",
        &[
            ("2026-04-04T14:29:00Z", false),
            ("2026-04-04T14:30:00Z", true),
            ("2026-04-04T15:00:00Z", true),
            ("2026-04-04T15:29:00Z", true),
            ("2026-04-04T15:30:00Z", false),
        ],
    );
}

#[test]
fn a_weekday_is_in_local_time() {
    for (zone, at, day) in [
        ("UTC", "1970-01-01T00:00:00Z", "thursday"),
        ("UTC", "2026-07-15T23:59:59Z", "wednesday"),
        ("Europe/Berlin", "2026-07-15T22:00:00Z", "thursday"),
        ("America/Los_Angeles", "2026-07-16T06:59:00Z", "wednesday"),
        ("Asia/Tokyo", "2026-07-18T15:00:00Z", "sunday"),
        ("Asia/Tokyo", "2026-07-19T15:00:00Z", "monday"),
        // Samoa had no 30 December 2011.
        ("Pacific/Apia", "2011-12-30T09:59:00Z", "thursday"),
        ("Pacific/Apia", "2011-12-30T10:00:00Z", "saturday"),
    ] {
        let visitor = Visitor { at_ms: ms(at), ..somebody() };
        for each in super::super::value::WEEKDAYS {
            let condition = json!({"weekday": {"days": [each], "time_zone": zone}});
            assert_eq!(holds(&condition, &visitor), each == day, "{each} in {zone} at {at}");
        }
    }
}

#[test]
fn an_out_of_range_time_can_be_evaluated() {
    let visitor = Visitor { at_ms: u64::MAX, ..somebody() };
    let day = json!({"weekday": {"days": ["monday"], "time_zone": "Europe/Berlin"}});
    let other = json!({"not": day});
    assert_ne!(holds(&day, &visitor), holds(&other, &visitor));
}

#[test]
fn a_rule_with_an_unknown_time_zone_never_matches() {
    use super::super::condition::{Condition, Test};
    for negated in [false, true] {
        let mut rules = accept(json!([{"target": target()}])).unwrap();
        let zone = "Atlantis/Capital".to_owned();
        let test = Test::Time { from: 0, until: 1, zone };
        rules.0[0].conditions.push(Condition { negated, test });
        assert_eq!(CompiledRules::new(&rules).decide(&somebody()), None);
    }
}
