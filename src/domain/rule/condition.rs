//! The conditions of rules.

use super::super::error::Invalid;
use super::body::{
    ConditionBody, DateConditionBody, QueryConditionBody, TimeConditionBody, WeekdayConditionBody,
};
use super::fact::Fact;
use super::value;

/// The maximum number of values in a list.
pub const MAX_VALUES: usize = 250;

/// The maximum length of a query parameter's name, in characters.
const MAX_PARAMETER_CHARS: usize = 128;

/// The maximum length of a query parameter's value, in characters.
const MAX_PARAMETER_VALUE_CHARS: usize = 256;

/// A test, optionally negated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Whether the condition matches if the test does not.
    pub negated: bool,
    /// The test.
    pub test: Test,
}

/// A property of a visit and the values that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// A fact is one of these values; sorted, without duplicates.
    OneOf(Fact, Vec<String>),
    /// A query parameter; without values, whether it is present.
    Query {
        /// Decoded.
        name: String,
        /// Decoded; sorted, without duplicates.
        values: Vec<String>,
    },
    /// Between two times, the end excluded, in milliseconds since the Unix epoch.
    Date {
        /// Unbounded if absent.
        from_ms: Option<u64>,
        /// Unbounded if absent.
        until_ms: Option<u64>,
    },
    /// Between two minutes of the local day, the end excluded; crosses midnight if the end is
    /// smaller.
    Time {
        /// 0 to 1439.
        from: u16,
        /// 0 to 1439, different from `from`.
        until: u16,
        /// An IANA time zone name.
        zone: String,
    },
    /// One of these local weekdays.
    Weekday {
        /// One bit per day, Monday the lowest.
        days: u8,
        /// An IANA time zone name.
        zone: String,
    },
    /// Whether the visitor is classified as a bot.
    Bot(bool),
    /// Whether the visitor has visited before.
    Returning(bool),
}

/// The referrer value of visits without a referrer.
pub const DIRECT: &str = "direct";

impl Test {
    /// The name of the field.
    pub const fn field(&self) -> &'static str {
        match self {
            Self::OneOf(fact, _) => fact.as_str(),
            Self::Query { .. } => "query",
            Self::Date { .. } => "date",
            Self::Time { .. } => "time",
            Self::Weekday { .. } => "weekday",
            Self::Bot(_) => "bot",
            Self::Returning(_) => "returning",
        }
    }
}

impl Condition {
    /// The path of the field in the condition's object.
    pub(super) fn field(&self) -> String {
        let field = self.test.field();
        if self.negated { format!("not.{field}") } else { field.to_owned() }
    }

    /// Validates the condition at the path `at`; `None` if it is invalid.
    pub(super) fn accept(mut body: ConditionBody, at: &str, invalid: &mut Invalid) -> Option<Self> {
        for name in &body.unknown.0 {
            invalid.add(format!("{at}.{name}"), "is not a known condition");
        }
        let has_unknown = !body.unknown.0.is_empty();
        let mut given = Vec::new();
        for fact in Fact::EVERY.iter().copied() {
            if let Some(values) = list_of(&mut body, fact).take() {
                let values = list(values, &format!("{at}.{}", fact.as_str()), invalid, |text| {
                    value::of(fact, text)
                });
                given.push(values.map(|values| Test::OneOf(fact, by_folded(values))));
            }
        }
        if let Some(query) = body.query {
            given.push(self::query(query, &format!("{at}.query"), invalid));
        }
        if let Some(date) = body.date {
            given.push(self::date(&date, &format!("{at}.date"), invalid));
        }
        if let Some(time) = body.time {
            given.push(self::time(&time, &format!("{at}.time"), invalid));
        }
        if let Some(weekday) = body.weekday {
            given.push(self::weekday(weekday, &format!("{at}.weekday"), invalid));
        }
        given.extend(body.bot.map(|bot| Some(Test::Bot(bot))));
        given.extend(body.returning.map(|returning| Some(Test::Returning(returning))));
        let mut given: Vec<_> =
            given.into_iter().map(|test| test.map(|test| Self { negated: false, test })).collect();
        if let Some(inner) = body.not {
            given.push(Self::negated(*inner, &format!("{at}.not"), invalid));
        }
        if given.len() > 1 || (given.is_empty() && !has_unknown) {
            invalid.add(at, format!("must have exactly one condition, not {}", given.len()));
            return None;
        }
        given.pop().flatten().filter(|_| !has_unknown)
    }

    fn negated(body: ConditionBody, at: &str, invalid: &mut Invalid) -> Option<Self> {
        let inner = Self::accept(body, at, invalid)?;
        let reason = match inner.test {
            _ if inner.negated => "must not be negated twice",
            Test::Bot(_) | Test::Returning(_) => "is negated by its value: true or false",
            _ => return Some(Self { negated: true, ..inner }),
        };
        invalid.add(format!("{at}.{}", inner.field()), reason);
        None
    }

    /// The condition for responses.
    pub fn body(&self) -> ConditionBody {
        let mut body = ConditionBody::default();
        match &self.test {
            Test::OneOf(fact, values) => *list_of(&mut body, *fact) = Some(values.clone()),
            Test::Query { name, values } => {
                let mut query = QueryConditionBody { name: name.clone(), ..Default::default() };
                match values.as_slice() {
                    [] => query.has = Some(true),
                    [one] => query.equals = Some(one.clone()),
                    many => query.any = Some(many.to_vec()),
                }
                body.query = Some(query);
            }
            Test::Date { from_ms, until_ms } => {
                body.date = Some(DateConditionBody {
                    from: from_ms.map(value::moment_text),
                    until: until_ms.map(value::moment_text),
                });
            }
            Test::Time { from, until, zone } => {
                body.time = Some(TimeConditionBody {
                    from: value::minute_text(*from),
                    until: value::minute_text(*until),
                    time_zone: zone.clone(),
                });
            }
            Test::Weekday { days, zone } => {
                let each = value::WEEKDAYS.iter().enumerate();
                let days = each.filter(|(place, _)| days >> place & 1 == 1);
                body.weekday = Some(WeekdayConditionBody {
                    days: days.map(|(_, day)| (*day).to_owned()).collect(),
                    time_zone: zone.clone(),
                });
            }
            Test::Bot(bot) => body.bot = Some(*bot),
            Test::Returning(returning) => body.returning = Some(*returning),
        }
        if self.negated {
            return ConditionBody { not: Some(body.into()), ..Default::default() };
        }
        body
    }
}

/// The list for a fact.
const fn list_of(body: &mut ConditionBody, fact: Fact) -> &mut Option<Vec<String>> {
    match fact {
        Fact::Country => &mut body.country,
        Fact::Continent => &mut body.continent,
        Fact::Region => &mut body.region,
        Fact::City => &mut body.city,
        Fact::Device => &mut body.device,
        Fact::Os => &mut body.os,
        Fact::Browser => &mut body.browser,
        Fact::Language => &mut body.language,
        Fact::Referrer => &mut body.referrer,
        Fact::Address => &mut body.address,
    }
}

/// Validates each value; `None` if any is invalid.
fn list<T>(
    values: Vec<String>,
    at: &str,
    invalid: &mut Invalid,
    check: impl Fn(&str) -> Result<T, String>,
) -> Option<Vec<T>> {
    let count = values.len();
    if count == 0 {
        invalid.add(at, "must not be empty");
        return None;
    }
    if count > MAX_VALUES {
        invalid.add(at, format!("must not contain more than {MAX_VALUES} values"));
        return None;
    }
    let each = values.into_iter();
    let checked: Vec<_> = each.filter_map(|text| invalid.check(at, check(&text))).collect();
    (checked.len() == count).then_some(checked)
}

/// Sorts and deduplicates regardless of case.
fn by_folded(mut values: Vec<String>) -> Vec<String> {
    values.sort_by_cached_key(|text| (value::folded(text), text.clone()));
    values.dedup_by(|later, earlier| value::folded(later) == value::folded(earlier));
    values
}

fn query(body: QueryConditionBody, at: &str, invalid: &mut Invalid) -> Option<Test> {
    let name_at = format!("{at}.name");
    let name = parameter(&body.name, MAX_PARAMETER_CHARS);
    let name = match name {
        Ok(name) if name.is_empty() => invalid.check(&name_at, Err("is required".to_owned())),
        name => invalid.check(&name_at, name),
    };
    let check = |text: &str| parameter(text, MAX_PARAMETER_VALUE_CHARS);
    let values = match (body.has, body.equals, body.any) {
        (Some(true), None, None) => Some(Vec::new()),
        (Some(false), None, None) => {
            invalid.add(format!("{at}.has"), "must be true: use `not` for the opposite");
            None
        }
        (None, Some(text), None) => list(vec![text], &format!("{at}.equals"), invalid, check),
        (None, None, Some(texts)) => list(texts, &format!("{at}.any"), invalid, check),
        _ => {
            invalid.add(at, "must have exactly one of `has`, `equals`, `any`");
            None
        }
    };
    let mut values = values?;
    values.sort_unstable();
    values.dedup();
    Some(Test::Query { name: name?, values })
}

/// Validates a name or value in a query: any text, including blanks.
fn parameter(text: &str, max: usize) -> Result<String, String> {
    if text.chars().count() > max {
        return Err(format!("must not be longer than {max} characters"));
    }
    Ok(text.to_owned())
}

fn date(body: &DateConditionBody, at: &str, invalid: &mut Invalid) -> Option<Test> {
    let mut moment = |name: &str, text: &Option<String>| match text {
        Some(text) => invalid.check(&format!("{at}.{name}"), value::timestamp(text)).map(Some),
        None => Some(None),
    };
    let (from_ms, until_ms) = (moment("from", &body.from), moment("until", &body.until));
    let (from_ms, until_ms) = from_ms.zip(until_ms)?;
    match (from_ms, until_ms) {
        (None, None) => invalid.add(at, "must have `from` or `until`"),
        (Some(from), Some(until)) if from >= until => {
            invalid.add(format!("{at}.until"), "must be later than `from`");
        }
        _ => return Some(Test::Date { from_ms, until_ms }),
    }
    None
}

fn time(body: &TimeConditionBody, at: &str, invalid: &mut Invalid) -> Option<Test> {
    let from = invalid.check(&format!("{at}.from"), value::minute(&body.from));
    let until = invalid.check(&format!("{at}.until"), value::minute(&body.until));
    let zone = time_zone(&body.time_zone, at, invalid);
    let (from, until) = from.zip(until)?;
    if from == until {
        invalid.add(format!("{at}.until"), "must be different from `from`");
        return None;
    }
    Some(Test::Time { from, until, zone: zone? })
}

fn weekday(body: WeekdayConditionBody, at: &str, invalid: &mut Invalid) -> Option<Test> {
    let days = list(body.days, &format!("{at}.days"), invalid, value::weekday);
    let zone = time_zone(&body.time_zone, at, invalid);
    let days = days?.into_iter().fold(0, |days, day| days | day);
    Some(Test::Weekday { days, zone: zone? })
}

fn time_zone(text: &str, at: &str, invalid: &mut Invalid) -> Option<String> {
    let zone = if text.is_empty() { Err("is required".to_owned()) } else { value::zone_name(text) };
    invalid.check(&format!("{at}.time_zone"), zone)
}
