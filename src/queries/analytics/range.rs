//! The time range of a query.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

use super::buckets::Granularity;
use super::period::Period;
use crate::domain::named_enum;

/// The maximum number of units (hours, days, …) in a range.
const MAX_UNITS: i64 = 10_000;

/// A time range as the client gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DateRange {
    /// All time.
    All,
    /// This many units (hours, days, weeks, months, years), including the current one.
    Last(Granularity, i64),
    /// The current unit so far.
    ToDate(Granularity),
    /// The whole unit before the current one.
    Previous(Granularity),
    /// From this moment until now.
    Since(Edge),
    /// From the first moment up to, and excluding, the second.
    Between(Edge, Edge),
}

/// One end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// A moment.
    At(Timestamp),
    /// A day in the query's time zone. As the end of a range, the day is included.
    Day(Date),
}

/// The supported range names, for error messages.
pub const RANGES: &str = "24h, 7d, 4w, 12mo, 1y (any number of these), today, yesterday, wtd, mtd, \
     qtd, ytd, last_week, last_month, last_quarter, last_year, all";

/// Why a range has no period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Its end is not after its start.
    #[error("must end after it starts")]
    Empty,
    /// It begins or ends in a year that the calendar does not have.
    #[error("is outside the calendar")]
    OutsideCalendar,
}

impl DateRange {
    /// Parses a range name.
    pub fn parse(name: &str) -> Option<Self> {
        use Granularity::{Day, Hour, Month, Quarter, Week, Year};
        Some(match name {
            "all" => Self::All,
            "today" => Self::ToDate(Day),
            "yesterday" => Self::Previous(Day),
            "wtd" => Self::ToDate(Week),
            "mtd" => Self::ToDate(Month),
            "qtd" => Self::ToDate(Quarter),
            "ytd" => Self::ToDate(Year),
            "last_week" => Self::Previous(Week),
            "last_month" => Self::Previous(Month),
            "last_quarter" => Self::Previous(Quarter),
            "last_year" => Self::Previous(Year),
            _ => {
                let digits = name.find(|letter: char| !letter.is_ascii_digit())?;
                let (number, unit) = name.split_at_checked(digits)?;
                let unit = match unit {
                    "h" => Hour,
                    "d" => Day,
                    "w" => Week,
                    "mo" => Month,
                    "y" => Year,
                    _ => return None,
                };
                let number = number.parse().ok().filter(|number| (1..=MAX_UNITS).contains(number));
                Self::Last(unit, number?)
            }
        })
    }

    /// Resolves the range at a moment in a time zone.
    pub fn period(&self, zone: &TimeZone, now: Timestamp) -> Result<Period, RangeError> {
        let beyond = |_| RangeError::OutsideCalendar;
        let local = now.to_zoned(zone.clone());
        // Clicks in the current millisecond are included.
        let until_now = now.checked_add(Span::new().milliseconds(1)).map_err(beyond)?;
        let (from, to) = match self {
            Self::All => return Ok(Period { from: None, to: until_now }),
            Self::ToDate(unit) => (unit.floor(&local).map_err(beyond)?.timestamp(), until_now),
            Self::Last(unit, units) => {
                let current = unit.floor(&local).map_err(beyond)?;
                (unit.back(&current, units - 1).map_err(beyond)?.timestamp(), until_now)
            }
            Self::Previous(unit) => {
                let current = unit.floor(&local).map_err(beyond)?;
                let before = unit.back(&current, 1).map_err(beyond)?;
                (before.timestamp(), current.timestamp())
            }
            Self::Since(from) => (from.start(zone)?, until_now),
            Self::Between(from, to) => {
                let to = match to {
                    Edge::At(at) => *at,
                    Edge::Day(day) => start_of(day.tomorrow().map_err(beyond)?, zone)?,
                };
                (from.start(zone)?, to)
            }
        };
        if from >= to {
            return Err(RangeError::Empty);
        }
        Ok(Period { from: Some(from), to })
    }
}

fn start_of(day: Date, zone: &TimeZone) -> Result<Timestamp, RangeError> {
    let start = day.to_zoned(zone.clone()).and_then(|day| day.start_of_day());
    start.map(|start| start.timestamp()).map_err(|_| RangeError::OutsideCalendar)
}

impl Edge {
    /// The moment, or that at which the day begins.
    fn start(self, zone: &TimeZone) -> Result<Timestamp, RangeError> {
        match self {
            Self::At(at) => Ok(at),
            Self::Day(day) => start_of(day, zone),
        }
    }

    /// Parses an RFC 3339 timestamp or a day (`2026-03-01`).
    pub fn parse(text: &str) -> Option<Self> {
        let day = || text.parse().ok().filter(|_| text.len() == 10).map(Self::Day);
        text.parse().ok().map(Self::At).or_else(day)
    }
}

named_enum! {
    /// What to compare a time range with.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Compare {
        /// The preceding range of the same length.
        PreviousPeriod => "previous_period",
        /// The same days of the previous year.
        PreviousYear => "previous_year",
    }
}

impl Compare {
    /// The range to compare with; `None` for a range without a start.
    ///
    /// A range of whole days is shifted by a number of days, so it keeps whole days across clock
    /// changes.
    pub fn period(self, period: Period, zone: &TimeZone) -> Option<Period> {
        let from = period.from?.to_zoned(zone.clone());
        let to = period.to.to_zoned(zone.clone());
        let back = |time: &Zoned, span: Span| time.checked_sub(span).ok();
        let (before_from, before_to) = match self {
            Self::PreviousYear => {
                (back(&from, Span::new().years(1))?, back(&to, Span::new().years(1))?)
            }
            Self::PreviousPeriod => {
                let midnight = |time: &Zoned| time.start_of_day().is_ok_and(|day| day == *time);
                let days = if midnight(&from) {
                    let last = to.checked_sub(Span::new().nanoseconds(1)).ok()?;
                    i64::from(from.date().until(last.date()).ok()?.get_days()) + 1
                } else {
                    0
                };
                if days > 0 {
                    let days = Span::new().days(days);
                    (back(&from, days)?, back(&to, days)?)
                } else {
                    let length = period.to.duration_since(period.from?);
                    (from.checked_sub(length).ok()?, from)
                }
            }
        };
        Some(Period { from: Some(before_from.timestamp()), to: before_to.timestamp() })
    }
}
