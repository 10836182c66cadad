//! The rotation period of the visitor ids.

use std::ops::Range;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::domain::named_enum;

const DAY_MS: u64 = 86_400_000;
const WEEK_MS: u64 = 7 * DAY_MS;

/// The Unix epoch was a Thursday, three days after Monday.
const EPOCH_AFTER_MONDAY_MS: u64 = 3 * DAY_MS;

named_enum! {
    /// The lifetime of the key of the visitor ids, in UTC.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum SaltPeriod {
        /// A day: visitor ids change at midnight.
        Daily => "daily",
        /// A week of ISO 8601, from Monday.
        Weekly => "weekly",
        /// A calendar month.
        Monthly => "monthly",
        /// The key is never replaced.
        Never => "never",
    }
}

/// Not the name of a period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a period: use daily, weekly, monthly or never")]
pub struct InvalidSaltPeriod {
    text: String,
}

impl SaltPeriod {
    /// The period that contains a time, in milliseconds since the Unix epoch.
    pub fn span(self, at_ms: u64) -> Range<u64> {
        match self {
            Self::Daily => {
                let start = at_ms - at_ms % DAY_MS;
                start..start.saturating_add(DAY_MS)
            }
            Self::Weekly => {
                let into = at_ms.saturating_add(EPOCH_AFTER_MONDAY_MS) % WEEK_MS;
                let start = at_ms.saturating_sub(into);
                start..at_ms.saturating_add(WEEK_MS - into)
            }
            // There is no calendar beyond the year 9999: the period does not end.
            Self::Monthly => month(at_ms).unwrap_or(at_ms..u64::MAX),
            Self::Never => 0..u64::MAX,
        }
    }
}

impl FromStr for SaltPeriod {
    type Err = InvalidSaltPeriod;

    fn from_str(text: &str) -> Result<Self, InvalidSaltPeriod> {
        let mut every = Self::EVERY.iter().copied();
        every
            .find(|period| period.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| InvalidSaltPeriod { text: text.to_owned() })
    }
}

fn month(at_ms: u64) -> Option<Range<u64>> {
    let at = Timestamp::from_millisecond(i64::try_from(at_ms).ok()?).ok()?;
    let first = TimeZone::UTC.to_datetime(at).date().first_of_month();
    let next = first.last_of_month().tomorrow().ok()?;
    Some(midnight_ms(first)?..midnight_ms(next)?)
}

fn midnight_ms(date: Date) -> Option<u64> {
    let midnight = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
    u64::try_from(midnight.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> u64 {
        text.parse::<Timestamp>().unwrap().as_millisecond().try_into().unwrap()
    }

    #[test]
    fn periods_follow_the_calendar() {
        for (period, at, start, end) in [
            (
                SaltPeriod::Daily,
                "2026-06-17T00:00:00Z",
                "2026-06-17T00:00:00Z",
                "2026-06-18T00:00:00Z",
            ),
            (
                SaltPeriod::Daily,
                "2026-06-17T23:59:59.999Z",
                "2026-06-17T00:00:00Z",
                "2026-06-18T00:00:00Z",
            ),
            (
                SaltPeriod::Weekly,
                "2026-06-15T00:00:00Z",
                "2026-06-15T00:00:00Z",
                "2026-06-22T00:00:00Z",
            ),
            (
                SaltPeriod::Weekly,
                "2026-06-21T23:59:59.999Z",
                "2026-06-15T00:00:00Z",
                "2026-06-22T00:00:00Z",
            ),
            (
                SaltPeriod::Weekly,
                "2027-01-01T12:00:00Z",
                "2026-12-28T00:00:00Z",
                "2027-01-04T00:00:00Z",
            ),
            (
                SaltPeriod::Monthly,
                "2026-02-28T23:00:00Z",
                "2026-02-01T00:00:00Z",
                "2026-03-01T00:00:00Z",
            ),
            (
                SaltPeriod::Monthly,
                "2028-02-29T23:00:00Z",
                "2028-02-01T00:00:00Z",
                "2028-03-01T00:00:00Z",
            ),
            (
                SaltPeriod::Monthly,
                "2026-12-31T23:59:59.999Z",
                "2026-12-01T00:00:00Z",
                "2027-01-01T00:00:00Z",
            ),
        ] {
            assert_eq!(period.span(ms(at)), ms(start)..ms(end), "{period:?} {at}");
        }
        assert_eq!(SaltPeriod::Never.span(ms("2026-06-17T00:00:00Z")), 0..u64::MAX);
    }

    #[test]
    fn every_time_is_within_its_period() {
        for period in
            [SaltPeriod::Daily, SaltPeriod::Weekly, SaltPeriod::Monthly, SaltPeriod::Never]
        {
            for at in [0, 1, DAY_MS, 4 * DAY_MS, u64::MAX / 2, u64::MAX - 1] {
                assert!(period.span(at).contains(&at), "{period:?} {at}");
            }
        }
    }

    #[test]
    fn a_period_is_parsed_by_its_name() {
        for period in
            [SaltPeriod::Daily, SaltPeriod::Weekly, SaltPeriod::Monthly, SaltPeriod::Never]
        {
            assert_eq!(period.as_str().parse(), Ok(period));
        }
        assert_eq!("Daily".parse(), Ok(SaltPeriod::Daily));
        let error = "hourly".parse::<SaltPeriod>().unwrap_err();
        assert!(error.to_string().contains("`hourly`"));
    }
}
