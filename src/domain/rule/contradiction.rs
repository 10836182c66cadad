//! Detection of conditions that can't match together, which are mistakes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ipnet::IpNet;

use super::super::country;
use super::condition::{Condition, DIRECT, Test};
use super::fact::Fact;
use super::value::{self, MINUTES_A_DAY};

/// The index of the condition that excludes all remaining visitors, and the reason.
///
/// There are no false positives, but some contradictions are not detected, such as a city in
/// another country.
pub(super) fn find(conditions: &[Condition]) -> Option<(usize, &'static str)> {
    let same = "matches no visitor together with the conditions before it";
    let mut possible = BTreeMap::new();
    for fact in Fact::EVERY.iter().copied() {
        match lists_of(conditions, fact) {
            Ok(Some(values)) => {
                possible.insert(fact.as_str(), values);
            }
            Ok(None) => {}
            Err(place) => return Some((place, same)),
        }
    }
    let alone = queries(conditions)
        .or_else(|| dates(conditions))
        .or_else(|| times(conditions))
        .or_else(|| weekdays(conditions))
        .or_else(|| flags(conditions));
    if let Some(place) = alone {
        return Some((place, same));
    }
    continents(conditions, possible.get(Fact::Country.as_str()))
        .map(|place| (place, "matches no visitor: the countries are on other continents"))
        .or_else(|| {
            bots(conditions, possible.get(Fact::Device.as_str()))
                .map(|place| (place, "matches no visitor: the device `bot` is always a bot"))
        })
}

/// The values of the condition at an index.
struct Listed<T> {
    place: usize,
    negated: bool,
    values: Vec<T>,
}

/// The values that all lists allow; `None` if they allow any value, and `Err` with the index of the
/// list that leaves no value. `covers` returns whether one value includes another.
fn left<T: Clone + Ord>(
    lists: Vec<Listed<T>>,
    covers: impl Fn(&T, &T) -> bool,
) -> Result<Option<Vec<T>>, usize> {
    let mut left: Option<Vec<T>> = None;
    let mut excluded: Vec<T> = Vec::new();
    for list in lists {
        if list.negated {
            excluded.extend(list.values);
        } else {
            left = Some(match left {
                None => list.values,
                Some(before) => shared(&before, &list.values, &covers),
            });
        }
        if let Some(values) = &mut left {
            values.retain(|value| !excluded.iter().any(|wide| covers(wide, value)));
            if values.is_empty() {
                return Err(list.place);
            }
        }
    }
    Ok(left)
}

/// The narrower value of each overlapping pair.
fn shared<T: Clone + Ord>(one: &[T], other: &[T], covers: &impl Fn(&T, &T) -> bool) -> Vec<T> {
    let pairs = one.iter().flat_map(|one| other.iter().map(move |other| (one, other)));
    let narrower =
        pairs.filter_map(|(one, other)| match (covers(one, other), covers(other, one)) {
            (true, _) => Some(other),
            (false, true) => Some(one),
            (false, false) => None,
        });
    // Nested values overlap many times: without the set, the lists would grow multiplicatively.
    narrower.cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

/// The values that the conditions on a fact allow.
fn lists_of(conditions: &[Condition], fact: Fact) -> Result<Option<Vec<String>>, usize> {
    let lists = conditions.iter().enumerate().filter_map(|(place, condition)| {
        let Test::OneOf(of, values) = &condition.test else { return None };
        let values = values.iter().map(|text| value::folded(text)).collect();
        (*of == fact).then_some(Listed { place, negated: condition.negated, values })
    });
    let lists: Vec<Listed<String>> = lists.collect();
    match fact {
        Fact::Address => {
            let parsed = lists.into_iter().map(|list| Listed {
                place: list.place,
                negated: list.negated,
                values: list.values.iter().filter_map(|text| value::network(text).ok()).collect(),
            });
            left(parsed.collect(), |wide: &IpNet, narrow| wide.contains(narrow)).map(|_| None)
        }
        Fact::Referrer => left(lists, |wide, narrow| is_below(narrow, wide)),
        _ => left(lists, |one, other| one == other),
    }
}

/// Whether a host is the same as another one or its subdomain.
fn is_below(host: &str, above: &str) -> bool {
    let rest = host.strip_suffix(above);
    rest.is_some_and(|rest| rest.is_empty() || (rest.ends_with('.') && above != DIRECT))
}

/// Conditions on the same query parameter.
fn queries(conditions: &[Condition]) -> Option<usize> {
    let mut by_name: BTreeMap<&str, Vec<Listed<String>>> = BTreeMap::new();
    for (place, condition) in conditions.iter().enumerate() {
        let Test::Query { name, values } = &condition.test else { continue };
        let (negated, values) = (condition.negated, values.clone());
        by_name.entry(name).or_default().push(Listed { place, negated, values });
    }
    by_name.into_values().find_map(|lists| {
        let wanted = lists.iter().find(|list| !list.negated).map(|list| list.place);
        let absent = lists.iter().find(|list| list.negated && list.values.is_empty());
        if let Some((wanted, absent)) = wanted.zip(absent) {
            return Some(wanted.max(absent.place));
        }
        let with_values = lists.into_iter().filter(|list| !list.values.is_empty());
        left(with_values.collect(), |one, other| one == other).err()
    })
}

fn dates(conditions: &[Condition]) -> Option<usize> {
    let mut left = 0..u64::MAX;
    let mut excluded: Vec<Range<u64>> = Vec::new();
    conditions.iter().enumerate().find_map(|(place, condition)| {
        let Test::Date { from_ms, until_ms } = condition.test else { return None };
        let window = from_ms.unwrap_or(0)..until_ms.unwrap_or(u64::MAX);
        if condition.negated {
            excluded.push(window);
        } else {
            left = left.start.max(window.start)..left.end.min(window.end);
        }
        let is_excluded = |by: &Range<u64>| by.start <= left.start && left.end <= by.end;
        (left.is_empty() || excluded.iter().any(is_excluded)).then_some(place)
    })
}

/// Times of day in one time zone, as the set of remaining minutes.
fn times(conditions: &[Condition]) -> Option<usize> {
    let mut left: BTreeMap<&str, Vec<bool>> = BTreeMap::new();
    conditions.iter().enumerate().find_map(|(place, condition)| {
        let Test::Time { from, until, zone } = &condition.test else { return None };
        let minutes = left.entry(zone).or_insert_with(|| vec![true; usize::from(MINUTES_A_DAY)]);
        for (minute, is_left) in (0..).zip(minutes.iter_mut()) {
            *is_left &= is_within(minute, *from, *until) != condition.negated;
        }
        (!minutes.contains(&true)).then_some(place)
    })
}

/// Whether a minute of the day is in a window that may cross midnight.
pub(super) const fn is_within(minute: u16, from: u16, until: u16) -> bool {
    if from < until { from <= minute && minute < until } else { from <= minute || minute < until }
}

fn weekdays(conditions: &[Condition]) -> Option<usize> {
    let mut left: BTreeMap<&str, u8> = BTreeMap::new();
    conditions.iter().enumerate().find_map(|(place, condition)| {
        let Test::Weekday { days, zone } = &condition.test else { return None };
        let left = left.entry(zone).or_insert(0b111_1111);
        *left &= if condition.negated { !days } else { *days };
        (*left == 0).then_some(place)
    })
}

/// `bot` or `returning` with both values.
fn flags(conditions: &[Condition]) -> Option<usize> {
    conditions.iter().enumerate().find_map(|(place, condition)| {
        let opposite = match condition.test {
            Test::Bot(bot) => Test::Bot(!bot),
            Test::Returning(returning) => Test::Returning(!returning),
            _ => return None,
        };
        conditions.iter().take(place).any(|before| before.test == opposite).then_some(place)
    })
}

/// Countries on other continents.
fn continents(conditions: &[Condition], countries: Option<&Vec<String>>) -> Option<usize> {
    let countries = countries?;
    let on = |code: &String| country::continent(&code.to_ascii_uppercase());
    let mut left: Vec<&str> = countries.iter().map(on).collect();
    let mut last = None;
    for (place, condition) in conditions.iter().enumerate() {
        match &condition.test {
            Test::OneOf(Fact::Continent, codes) => {
                left.retain(|continent| {
                    codes.iter().any(|code| code == continent) != condition.negated
                });
                last = Some(place);
            }
            Test::OneOf(Fact::Country, _) => last = Some(place),
            _ => {}
        }
    }
    last.filter(|_| left.is_empty())
}

/// Only the device `bot`, for visitors who are not bots.
fn bots(conditions: &[Condition], devices: Option<&Vec<String>>) -> Option<usize> {
    let only_bots = devices?.iter().all(|device| device == "bot");
    let is_either = |condition: &Condition| {
        matches!(condition.test, Test::Bot(false) | Test::OneOf(Fact::Device, _))
    };
    let no_bots = conditions.iter().any(|condition| condition.test == Test::Bot(false));
    (only_bots && no_bots).then(|| conditions.iter().rposition(is_either)).flatten()
}
