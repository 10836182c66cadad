//! Compiled conditions.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::super::super::click::Device;
use super::super::super::country;
use super::super::condition::{Condition, Test};
use super::super::contradiction::is_within;
use super::super::fact::Fact;
use super::super::value;
use super::super::visitor::{Needs, Visitor};
use super::Visit;
use super::lists::{Codes, Hosts, Ranges, Texts};
use super::query::Collector;

const SECONDS_A_DAY: i64 = 24 * 60 * 60;

/// The weekday of the Unix epoch, counted from Monday.
const THURSDAY: i64 = 3;

/// A compiled condition.
pub(super) struct Check {
    negated: bool,
    test: Ready,
}

enum Ready {
    Country(Codes),
    Continent(Codes),
    Text(Fact, Texts),
    /// A bit for each device type.
    Device(u8),
    Referrer(Hosts),
    Address(Ranges),
    /// The index of the query test.
    Query(usize),
    Date {
        from_ms: u64,
        until_ms: u64,
    },
    Time {
        from: u16,
        until: u16,
        zone: TimeZone,
    },
    Weekday {
        days: u8,
        zone: TimeZone,
    },
    Bot(bool),
    Returning(bool),
    /// The time zone is unknown.
    Never,
}

impl Check {
    pub(super) fn new(condition: &Condition, asked: &mut Collector, needs: &mut Needs) -> Self {
        let zoned = |zone: &str, with: &dyn Fn(TimeZone) -> Ready| {
            value::zone(zone).map_or(Ready::Never, with)
        };
        let test = match &condition.test {
            Test::OneOf(fact, values) => Ready::one_of(*fact, values),
            Test::Query { name, values } => Ready::Query(asked.ask(name, values)),
            Test::Date { from_ms, until_ms } => Ready::Date {
                from_ms: from_ms.unwrap_or(0),
                until_ms: until_ms.unwrap_or(u64::MAX),
            },
            Test::Time { from, until, zone } => {
                zoned(zone, &|zone| Ready::Time { from: *from, until: *until, zone })
            }
            Test::Weekday { days, zone } => {
                zoned(zone, &|zone| Ready::Weekday { days: *days, zone })
            }
            Test::Bot(bot) => Ready::Bot(*bot),
            Test::Returning(returning) => Ready::Returning(*returning),
        };
        *needs = *needs | needs_of(&condition.test);
        // A condition that can't be evaluated never matches, even if negated.
        let negated = condition.negated && !matches!(test, Ready::Never);
        Self { negated, test }
    }

    pub(super) fn holds(&self, visit: &Visit<'_>) -> bool {
        self.test.holds(visit) != self.negated
    }

    /// The relative cost: cheap conditions are evaluated first.
    pub(super) const fn cost(&self) -> u8 {
        match self.test {
            Ready::Never
            | Ready::Bot(_)
            | Ready::Date { .. }
            | Ready::Device(_)
            | Ready::Country(_)
            | Ready::Continent(_) => 0,
            Ready::Address(_) | Ready::Text(..) => 1,
            Ready::Referrer(_) | Ready::Time { .. } | Ready::Weekday { .. } => 2,
            Ready::Query(_) => 3,
            Ready::Returning(_) => 4,
        }
    }
}

impl Ready {
    fn one_of(fact: Fact, values: &[String]) -> Self {
        match fact {
            Fact::Country => Self::Country(Codes::new(values)),
            Fact::Continent => Self::Continent(Codes::new(values)),
            Fact::Device => {
                let each = values.iter().filter_map(|word| value::device(word).ok());
                Self::Device(each.fold(0, |devices, device| devices | bit(device)))
            }
            Fact::Referrer => Self::Referrer(Hosts::new(values)),
            Fact::Address => Self::Address(Ranges::new(values)),
            Fact::Region | Fact::City | Fact::Os | Fact::Browser | Fact::Language => {
                Self::Text(fact, Texts::new(values))
            }
        }
    }

    fn holds(&self, visit: &Visit<'_>) -> bool {
        let visitor = visit.visitor;
        match self {
            Self::Country(codes) => codes.hold(visitor.country),
            Self::Continent(codes) => codes.hold(country::continent(visitor.country)),
            Self::Text(fact, texts) => texts.hold(text_of(visitor, *fact)),
            Self::Device(devices) => devices & bit(visitor.device) != 0,
            Self::Referrer(hosts) => hosts.hold(visitor.referrer, visitor.referrer_url),
            Self::Address(ranges) => visitor.address.is_some_and(|address| ranges.hold(address)),
            Self::Query(question) => visit.asks(*question),
            Self::Date { from_ms, until_ms } => (*from_ms..*until_ms).contains(&visitor.at_ms),
            Self::Time { from, until, zone } => {
                let second = local_seconds(visitor.at_ms, zone).rem_euclid(SECONDS_A_DAY);
                let minute = u16::try_from(second / 60).unwrap_or(0);
                is_within(minute, *from, *until)
            }
            Self::Weekday { days, zone } => {
                let day = local_seconds(visitor.at_ms, zone).div_euclid(SECONDS_A_DAY);
                days >> (day + THURSDAY).rem_euclid(7) & 1 == 1
            }
            Self::Bot(bot) => visitor.is_bot == *bot,
            Self::Returning(returning) => visit.is_returning() == *returning,
            Self::Never => false,
        }
    }
}

/// The bit of a device type.
const fn bit(device: Device) -> u8 {
    1 << device as u8
}

const fn text_of<'a>(visitor: &Visitor<'a>, fact: Fact) -> &'a str {
    match fact {
        Fact::Region => visitor.region,
        Fact::City => visitor.city,
        Fact::Os => visitor.os,
        Fact::Browser => visitor.browser,
        Fact::Language => visitor.language,
        Fact::Country | Fact::Continent | Fact::Device | Fact::Referrer | Fact::Address => "",
    }
}

/// Seconds since the epoch in local time: skipped local times are in no window, and repeated local
/// times are in a window twice.
fn local_seconds(at_ms: u64, zone: &TimeZone) -> i64 {
    let at = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let at = at.unwrap_or(Timestamp::MAX);
    at.as_second() + i64::from(zone.to_offset(at).seconds())
}

const fn needs_of(test: &Test) -> Needs {
    match test {
        Test::OneOf(fact, _) => match fact {
            Fact::Country | Fact::Continent | Fact::Region | Fact::City => Needs::PLACE,
            Fact::Device | Fact::Os | Fact::Browser => Needs::AGENT,
            Fact::Language => Needs::LANGUAGE,
            Fact::Referrer => Needs::REFERRER,
            Fact::Address => Needs::ADDRESS,
        },
        Test::Query { .. } => Needs::QUERY,
        Test::Date { .. } | Test::Time { .. } | Test::Weekday { .. } => Needs::NONE,
        Test::Bot(_) => Needs::AGENT,
        Test::Returning(_) => Needs::RETURNING,
    }
}
