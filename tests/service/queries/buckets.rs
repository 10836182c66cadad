//! Time buckets, computed by stepping through the calendar in quarter hours (or minutes for short
//! ones): a bucket starts where its name changes.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::world::{DAY_MS, HOUR_MS, MINUTE_MS};

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    pub start_ms: i64,
    pub label: String,
}

pub fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

pub fn local(at_ms: i64, zone: &TimeZone) -> Zoned {
    Timestamp::from_millisecond(at_ms).unwrap().to_zoned(zone.clone())
}

/// The label shared by all times in a bucket.
fn name(granularity: &str, at: &Zoned) -> (i64, i64, i64) {
    let (year, month) = (i64::from(at.year()), i64::from(at.month()));
    let day = i64::from(at.date().day_of_year());
    let offset = i64::from(at.offset().seconds());
    match granularity {
        "minute" => {
            (year * 1_000 + day, i64::from(at.hour()) * 60 + i64::from(at.minute()), offset)
        }
        // An hour that the clocks show twice is two hours.
        "hour" => (year * 1_000 + day, i64::from(at.hour()), offset),
        "day" => (year, day, 0),
        "week" => {
            let week = at.date().iso_week_date();
            (i64::from(week.year()), i64::from(week.week()), 0)
        }
        "month" => (year, month, 0),
        "quarter" => (year, (month + 2) / 3, 0),
        "year" => (year, 0, 0),
        other => panic!("{other} is no granularity"),
    }
}

fn label(granularity: &str, at: &Zoned) -> String {
    let is_utc = at.time_zone().iana_name() == Some("UTC");
    let form = match granularity {
        "minute" | "hour" if is_utc => "%Y-%m-%dT%H:%M:%SZ",
        "minute" | "hour" => "%Y-%m-%dT%H:%M:%S%:z",
        _ => "%Y-%m-%d",
    };
    at.strftime(form).to_string()
}

/// The buckets that a span touches, oldest first.
pub fn buckets(from_ms: i64, to_ms: i64, granularity: &str, zone: &TimeZone) -> Vec<Bucket> {
    let step = if granularity == "minute" { MINUTE_MS } else { 15 * MINUTE_MS };
    let name_at = |at_ms| name(granularity, &local(at_ms, zone));
    let mut at = from_ms - from_ms.rem_euclid(step);
    while name_at(at - step) == name_at(at) {
        at -= step;
    }
    let (mut buckets, mut last) = (Vec::new(), None);
    while at < to_ms {
        let here = name_at(at);
        if last != Some(here) {
            let label = label(granularity, &local(at, zone));
            buckets.push(Bucket { start_ms: at, label });
            last = Some(here);
        }
        at += step;
    }
    buckets
}

/// When a day begins.
pub fn day_start(day: Date, zone: &TimeZone) -> i64 {
    let noon_in_utc = day.at(12, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap();
    let noon = noon_in_utc.timestamp().as_millisecond();
    let mut at = noon - DAY_MS - 3 * HOUR_MS;
    while local(at, zone).date() != day {
        at += 15 * MINUTE_MS;
    }
    at
}
