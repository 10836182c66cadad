//! Time buckets, from minutes to years, in any time zone.
//!
//! Bucket starts are computed here, with the bundled time zone database; ClickHouse gets the starts
//! and only sorts clicks into them. So a day with a clock change has its 23 or 25 hours, whatever
//! ClickHouse knows about the zone.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Unit, Zoned, ZonedRound};

use super::period::Period;
use crate::domain::named_enum;

/// The maximum number of buckets in a report.
pub const MAX_BUCKETS: usize = 5_000;

named_enum! {
    /// The length of a bucket.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Granularity {
        /// 60 seconds.
        Minute => "minute",
        /// 60 minutes of local time: shorter where a clock change falls within it.
        Hour => "hour",
        /// From midnight to midnight.
        Day => "day",
        /// From Monday to Monday (ISO 8601).
        Week => "week",
        /// A calendar month.
        Month => "month",
        /// Three calendar months, the first in January.
        Quarter => "quarter",
        /// A calendar year.
        Year => "year",
    }
}

impl Granularity {
    /// A suitable granularity for a span of this many seconds: some dozens of buckets.
    pub const fn auto(seconds: i64) -> Self {
        const HOUR: i64 = 3_600;
        const DAY: i64 = 24 * HOUR;
        match seconds {
            _ if seconds <= 2 * HOUR => Self::Minute,
            _ if seconds <= 3 * DAY => Self::Hour,
            _ if seconds <= 100 * DAY => Self::Day,
            _ if seconds <= 400 * DAY => Self::Week,
            _ if seconds <= 2_000 * DAY => Self::Month,
            _ => Self::Year,
        }
    }

    /// The start of the bucket that contains a moment.
    ///
    /// # Errors
    /// If the result is outside the calendar.
    pub fn floor(self, time: &Zoned) -> Result<Zoned, jiff::Error> {
        let smallest = |unit| ZonedRound::new().smallest(unit).mode(jiff::RoundMode::Trunc);
        match self {
            Self::Minute => time.round(smallest(Unit::Minute)),
            Self::Hour => {
                let full = time.round(smallest(Unit::Hour))?;
                // When the clocks repeat part of an hour, each part is a bucket of its own.
                let since = (full.offset() != time.offset()).then(|| last_change(time));
                Ok(since.flatten().filter(|change| *change > full).unwrap_or(full))
            }
            _ => day_start(self.first_day(time.date())?, time.time_zone()),
        }
    }

    /// The first day of the bucket that contains a day.
    fn first_day(self, day: Date) -> Result<Date, jiff::Error> {
        match self {
            Self::Minute | Self::Hour | Self::Day => Ok(day),
            Self::Week => {
                let since_monday = day.weekday().since(Weekday::Monday);
                day.checked_sub(Span::new().days(i64::from(since_monday)))
            }
            Self::Month => Ok(day.first_of_month()),
            Self::Quarter => day
                .first_of_month()
                .checked_sub(Span::new().months(i64::from((day.month() - 1) % 3))),
            Self::Year => Ok(day.first_of_year()),
        }
    }

    fn span(self, units: i64) -> Span {
        match self {
            Self::Minute => Span::new().minutes(units),
            Self::Hour => Span::new().hours(units),
            Self::Day => Span::new().days(units),
            Self::Week => Span::new().weeks(units),
            Self::Month => Span::new().months(units),
            Self::Quarter => Span::new().months(units.saturating_mul(3)),
            Self::Year => Span::new().years(units),
        }
    }

    /// The start of the bucket `units` before the one that starts here.
    ///
    /// # Errors
    /// If the result is outside the calendar.
    pub fn back(self, start: &Zoned, units: i64) -> Result<Zoned, jiff::Error> {
        match self {
            Self::Minute | Self::Hour => start.checked_sub(self.span(units)),
            _ => day_start(start.date().checked_sub(self.span(units))?, start.time_zone()),
        }
    }

    fn next(self, start: &Zoned) -> Result<Zoned, jiff::Error> {
        match self {
            Self::Minute => start.checked_add(self.span(1)),
            Self::Hour => {
                // With a clock change of half an hour, the next full hour is nearer.
                self.floor(&start.checked_add(self.span(1))?)
            }
            _ => day_start(start.date().checked_add(self.span(1))?, start.time_zone()),
        }
    }

    /// A bucket's label: its first day, or its first moment with the zone's offset.
    pub fn label(self, start: i64, zone: &TimeZone) -> String {
        let Ok(start) = Timestamp::from_second(start) else { return String::new() };
        let start = start.to_zoned(zone.clone());
        match self {
            Self::Minute | Self::Hour if *zone == TimeZone::UTC => {
                start.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
            }
            Self::Minute | Self::Hour => start.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            _ => start.strftime("%Y-%m-%d").to_string(),
        }
    }
}

/// The last clock change, at this moment or before it.
fn last_change(time: &Zoned) -> Option<Zoned> {
    let after = time.timestamp().checked_add(Span::new().nanoseconds(1)).ok()?;
    let change = time.time_zone().preceding(after).next()?;
    Some(change.timestamp().to_zoned(time.time_zone().clone()))
}

/// The first moment of a day, which is not always midnight.
fn day_start(day: Date, zone: &TimeZone) -> Result<Zoned, jiff::Error> {
    day.to_zoned(zone.clone())?.start_of_day()
}

/// The starts of the buckets that overlap a span, oldest first, in seconds since the Unix epoch.
///
/// # Errors
/// A message, if there are too many.
pub fn starts(
    period: Period,
    from: Timestamp,
    granularity: Granularity,
    zone: &TimeZone,
) -> Result<Vec<i64>, String> {
    let beyond = |_| "is outside the calendar".to_owned();
    let mut start = granularity.floor(&from.to_zoned(zone.clone())).map_err(beyond)?;
    let mut starts = Vec::new();
    while start.timestamp() < period.to {
        if starts.len() == MAX_BUCKETS {
            let unit = granularity.as_str();
            return Err(format!("gives more than {MAX_BUCKETS} buckets of a {unit}"));
        }
        starts.push(start.timestamp().as_second());
        start = granularity.next(&start).map_err(beyond)?;
    }
    Ok(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(granularity: Granularity, zone: &str, from: &str, to: &str) -> Vec<String> {
        let zone = TimeZone::get(zone).unwrap();
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        let starts = starts(Period { from: Some(from), to }, from, granularity, &zone).unwrap();
        assert!(starts.is_sorted_by(|one, next| one < next), "{starts:?}");
        starts.into_iter().map(|start| granularity.label(start, &zone)).collect()
    }

    #[test]
    fn a_day_of_changed_clocks_has_23_or_25_hours() {
        for (zone, day, next, hours) in [
            ("Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", 23),
            ("Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", 25),
            ("America/New_York", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z", 23),
            ("America/New_York", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z", 25),
            // A change of half an hour: one hour is cut to half, or half of it is repeated.
            ("Australia/Lord_Howe", "2026-10-03T13:30:00Z", "2026-10-04T13:00:00Z", 24),
            ("Australia/Lord_Howe", "2026-04-04T13:00:00Z", "2026-04-05T13:30:00Z", 25),
            ("Asia/Kolkata", "2026-03-28T18:30:00Z", "2026-03-29T18:30:00Z", 24),
        ] {
            assert_eq!(labels(Granularity::Hour, zone, day, next).len(), hours, "{zone} {day}");
            assert_eq!(labels(Granularity::Day, zone, day, next).len(), 1, "{zone} {day}");
        }
        let night = labels(
            Granularity::Hour,
            "Europe/Berlin",
            "2026-10-25T00:00:00Z",
            "2026-10-25T02:00:00Z",
        );
        assert_eq!(night, ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"]);
    }

    #[test]
    fn a_day_begins_where_the_zone_says_so() {
        // In Beirut the clocks go from midnight to one.
        let beirut =
            labels(Granularity::Day, "Asia/Beirut", "2026-03-27T22:00:00Z", "2026-03-29T21:00:00Z");
        assert_eq!(beirut, ["2026-03-28", "2026-03-29"]);
    }

    #[test]
    fn buckets_are_whole_even_where_the_span_is_not() {
        let (from, to) = ("2026-02-18T10:31:07Z", "2026-04-02T00:00:00Z");
        assert_eq!(labels(Granularity::Week, "UTC", from, to).first().unwrap(), "2026-02-16");
        assert_eq!(
            labels(Granularity::Month, "UTC", from, to),
            ["2026-02-01", "2026-03-01", "2026-04-01"]
        );
        assert_eq!(labels(Granularity::Quarter, "UTC", from, to), ["2026-01-01", "2026-04-01"]);
        assert_eq!(labels(Granularity::Year, "UTC", from, to), ["2026-01-01"]);
        let zone = TimeZone::UTC;
        let period = Period { from: None, to: to.parse().unwrap() };
        let from = "2000-01-01T00:00:00Z".parse().unwrap();
        assert!(starts(period, from, Granularity::Minute, &zone).is_err());
    }
}
