//! Spans of time in whole buckets: the last seven days, the last 24 hours. UTC.

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Unit as Round, Zoned};

/// How long a bucket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// 60 seconds.
    Minute,
    /// 60 minutes.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday (ISO 8601).
    Week,
    /// A calendar month.
    Month,
}

impl Unit {
    /// Each unit there is.
    pub const EVERY: &'static [Self] =
        &[Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month];

    /// The unit's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The unit with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::EVERY.iter().copied().find(|unit| unit.as_str() == name)
    }

    fn span(self, units: i64) -> Span {
        match self {
            Self::Minute => Span::new().minutes(units),
            Self::Hour => Span::new().hours(units),
            Self::Day => Span::new().days(units),
            Self::Week => Span::new().weeks(units),
            Self::Month => Span::new().months(units),
        }
    }

    /// The start of the bucket that holds `time`.
    fn floor(self, time: &Zoned) -> Result<Zoned, jiff::Error> {
        let date = time.date();
        match self {
            Self::Minute => time.round(truncate(Round::Minute)),
            Self::Hour => time.round(truncate(Round::Hour)),
            Self::Day => time.start_of_day(),
            Self::Week => {
                let days = date.weekday().since(Weekday::Monday);
                date.checked_sub(Span::new().days(i64::from(days)))?.to_zoned(TimeZone::UTC)
            }
            Self::Month => date.first_of_month().to_zoned(TimeZone::UTC),
        }
    }

    /// How a bucket is named in an answer: its day, or its first instant.
    pub fn label(self, start: Timestamp) -> String {
        match self {
            Self::Minute | Self::Hour => start.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            Self::Day | Self::Week | Self::Month => start.strftime("%Y-%m-%d").to_string(),
        }
    }
}

fn truncate(unit: Round) -> jiff::ZonedRound {
    jiff::ZonedRound::new().smallest(unit).mode(jiff::RoundMode::Trunc)
}

/// The last `units` buckets, the one that now is in included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// How long a bucket is.
    pub unit: Unit,
    /// How many there are: 1 to 365.
    pub units: u16,
}

impl Window {
    /// The starts of the buckets, newest first.
    ///
    /// # Errors
    /// Only where the calendar ends, some thousand years from now.
    pub fn starts(self, now: Timestamp) -> Result<Vec<Timestamp>, jiff::Error> {
        let current = self.unit.floor(&now.to_zoned(TimeZone::UTC))?;
        let each = 0..i64::from(self.units);
        each.map(|back| Ok(current.checked_sub(self.unit.span(back))?.timestamp())).collect()
    }

    /// The first instant of the oldest bucket.
    ///
    /// # Errors
    /// As [`Window::starts`].
    pub fn start(self, now: Timestamp) -> Result<Timestamp, jiff::Error> {
        let current = self.unit.floor(&now.to_zoned(TimeZone::UTC))?;
        let back = self.unit.span(i64::from(self.units) - 1);
        Ok(current.checked_sub(back)?.timestamp())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn labels(unit: Unit, units: u16, now: &str) -> Vec<String> {
        let starts = Window { unit, units }.starts(now.parse().unwrap()).unwrap();
        starts.into_iter().map(|start| unit.label(start)).collect()
    }

    #[test]
    fn buckets_are_whole_and_the_newest_comes_first() {
        let now = "2026-03-02T10:31:07Z";
        assert_eq!(labels(Unit::Minute, 2, now), ["2026-03-02T10:31:00Z", "2026-03-02T10:30:00Z"]);
        assert_eq!(labels(Unit::Hour, 2, now), ["2026-03-02T10:00:00Z", "2026-03-02T09:00:00Z"]);
        assert_eq!(labels(Unit::Day, 3, now), ["2026-03-02", "2026-03-01", "2026-02-28"]);
        assert_eq!(labels(Unit::Week, 2, "2026-03-01T23:59:59Z"), ["2026-02-23", "2026-02-16"]);
        assert_eq!(labels(Unit::Month, 3, now), ["2026-03-01", "2026-02-01", "2026-01-01"]);
    }

    #[test]
    fn a_window_starts_where_its_oldest_bucket_does() {
        let now: Timestamp = "2026-03-31T10:31:07Z".parse().unwrap();
        for unit in Unit::EVERY.iter().copied() {
            let window = Window { unit, units: 365 };
            let starts = window.starts(now).unwrap();
            assert_eq!(starts.len(), 365);
            assert!(starts.is_sorted_by(|one, next| one > next), "{unit:?}");
            assert_eq!(starts.last().copied(), Some(window.start(now).unwrap()), "{unit:?}");
        }
    }
}
