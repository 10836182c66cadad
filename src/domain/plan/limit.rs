//! Limits on what a workspace has, and on what it uses in a calendar month.

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use serde::Deserialize;

use crate::domain::named_enum;

named_enum! {
    /// A limit of a plan. The months are those of UTC.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Limit {
        /// The number of links at a time.
        Links => "links",
        /// The number of links created in a month.
        LinksPerMonth => "links_per_month",
        /// The number of QR codes created in a month.
        QrCodesPerMonth => "qr_codes_per_month",
        /// The number of requests to the API in a month.
        ApiCallsPerMonth => "api_calls_per_month",
        /// The number of clicks in a month. More are redirected and counted.
        ClicksPerMonth => "clicks_per_month",
        /// The number of conversion events in a month.
        EventsPerMonth => "events_per_month",
        /// The number of domains at a time.
        Domains => "domains",
        /// The number of members at a time, open invitations included.
        Members => "members",
        /// The number of different tags at a time.
        Tags => "tags",
        /// For how many days analytics go back.
        AnalyticsRetentionDays => "analytics_retention_days",
    }
}

named_enum! {
    /// What is counted in each calendar month.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[repr(u8)]
    pub enum Counter {
        /// Links that were created.
        Links = b'l' => "links",
        /// QR codes that were created.
        QrCodes = b'q' => "qr_codes",
        /// Requests to the API.
        ApiCalls = b'a' => "api_calls",
        /// Conversion events.
        Events = b'e' => "events",
    }
}

impl Limit {
    /// What the index counts for a monthly limit. Clicks are counted by the analytics.
    pub const fn counter(self) -> Option<Counter> {
        match self {
            Self::LinksPerMonth => Some(Counter::Links),
            Self::QrCodesPerMonth => Some(Counter::QrCodes),
            Self::ApiCallsPerMonth => Some(Counter::ApiCalls),
            Self::EventsPerMonth => Some(Counter::Events),
            _ => None,
        }
    }

    /// What is limited, for messages.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Links => "links",
            Self::LinksPerMonth => "new links per month",
            Self::QrCodesPerMonth => "new QR codes per month",
            Self::ApiCallsPerMonth => "API calls per month",
            Self::ClicksPerMonth => "clicks per month",
            Self::EventsPerMonth => "events per month",
            Self::Domains => "domains",
            Self::Members => "members",
            Self::Tags => "tags",
            Self::AnalyticsRetentionDays => "days of analytics",
        }
    }
}

/// A value for each [`Limit`]; `None` for no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits([Option<u64>; Limit::EVERY.len()]);

impl Limits {
    /// The value of a limit; `None` for no limit.
    pub const fn get(&self, limit: Limit) -> Option<u64> {
        self.0[limit as usize]
    }

    /// Sets a limit.
    pub const fn set(&mut self, limit: Limit, value: Option<u64>) {
        self.0[limit as usize] = value;
    }
}

/// A calendar month in UTC: the year times twelve, plus the months of the year before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(u16);

impl Month {
    /// The month of a time, in milliseconds since the Unix epoch.
    pub fn of(at_ms: u64) -> Self {
        let at = i64::try_from(at_ms).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
        let date = TimeZone::UTC.to_datetime(at.unwrap_or_default());
        let months = i32::from(date.year()) * 12 + i32::from(date.month()) - 1;
        Self(u16::try_from(months).unwrap_or_default())
    }

    /// The number, for keys.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The start of the month.
    pub fn start(self) -> Timestamp {
        let (year, month) = (self.0 / 12, self.0 % 12 + 1);
        let date = civil::Date::new(year.cast_signed(), i8::try_from(month).unwrap_or(1), 1);
        let start = date.and_then(|date| date.to_zoned(TimeZone::UTC));
        start.map(|start| start.timestamp()).unwrap_or_default()
    }

    /// The following month.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_independent() {
        let mut limits = Limits::default();
        for (value, limit) in (1..).zip(Limit::EVERY) {
            assert_eq!(limits.get(*limit), None);
            limits.set(*limit, Some(value));
        }
        let values: Vec<_> = Limit::EVERY.iter().filter_map(|limit| limits.get(*limit)).collect();
        assert_eq!(values, (1..=Limit::EVERY.len() as u64).collect::<Vec<_>>());
    }

    #[test]
    fn months_are_those_of_utc() {
        let month = |time: &str| {
            let time: Timestamp = time.parse().unwrap();
            Month::of(time.as_millisecond().unsigned_abs())
        };
        let december = month("2026-12-01T00:00:00Z");
        assert_eq!(month("2026-12-31T23:59:59.999Z"), december);
        assert_eq!(month("2027-01-01T00:00:00Z"), december.next());
        assert!(month("2026-11-30T23:59:59.999Z") < december);
        assert_eq!(december.start().to_string(), "2026-12-01T00:00:00Z");
        assert_eq!(december.next().start().to_string(), "2027-01-01T00:00:00Z");
    }
}
