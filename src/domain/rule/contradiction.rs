//! Detection of conditions on the same property that can't match together, which are mistakes: two
//! conditions that were meant as alternatives, for example.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;

use ipnet::IpNet;

use super::condition::{Condition, DIRECT, Test};
use super::fact::Fact;
use super::value;

/// The index of the condition that, with those before it, excludes all visitors.
///
/// There are no false positives, but contradictions between different properties are not detected,
/// such as a city in another country.
pub(super) fn find(conditions: &[Condition]) -> Option<usize> {
    let by_list = Fact::EVERY.iter().find_map(|fact| lists(conditions, *fact));
    by_list.or_else(|| queries(conditions)).or_else(|| points(conditions))
}

/// The values of the condition at an index.
struct Listed<T> {
    place: usize,
    negated: bool,
    values: Vec<T>,
}

/// The index of the list that, with those before it, leaves no value. `covers` returns whether one
/// value includes another.
fn exhausted<T: Clone + Ord>(
    lists: impl IntoIterator<Item = Listed<T>>,
    covers: impl Fn(&T, &T) -> bool,
) -> Option<usize> {
    let mut left: Option<Vec<T>> = None;
    let mut excluded: Vec<T> = Vec::new();
    lists.into_iter().find_map(|list| {
        if list.negated {
            excluded.extend(list.values);
        } else {
            left = Some(match &left {
                None => list.values,
                Some(before) => shared(before, &list.values, &covers),
            });
        }
        let left = left.as_mut()?;
        left.retain(|value| !excluded.iter().any(|wide| covers(wide, value)));
        left.is_empty().then_some(list.place)
    })
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

/// Lists of a fact's values.
fn lists(conditions: &[Condition], fact: Fact) -> Option<usize> {
    let lists = conditions.iter().enumerate().filter_map(|(place, condition)| {
        let Test::OneOf(of, values) = &condition.test else { return None };
        let values = values.iter().map(|text| value::folded(text)).collect();
        (*of == fact).then_some(Listed { place, negated: condition.negated, values })
    });
    match fact {
        Fact::Address => {
            let parsed = lists.map(|Listed { place, negated, values }| {
                let values = values.iter().filter_map(|text| value::network(text).ok()).collect();
                Listed { place, negated, values }
            });
            exhausted(parsed, |wide: &IpNet, narrow| wide.contains(narrow))
        }
        Fact::Referrer => exhausted(lists, |wide, narrow| is_below(narrow, wide)),
        _ => exhausted(lists, |one, other| one == other),
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
        exhausted(with_values, |one, other| one == other)
    })
}

/// Times, weekdays and flags. Conditions on them change only at a few points, so that testing these
/// is exact.
fn points(conditions: &[Condition]) -> Option<usize> {
    conditions.iter().enumerate().find_map(|(place, last)| {
        let same = || {
            let until_here = conditions.iter().take(place + 1);
            until_here.filter(|one| is_same_property(&one.test, &last.test))
        };
        let mut points = same().flat_map(|one| points_of(&one.test)).peekable();
        points.peek()?;
        let fits_all = |point| same().all(|one| fits(&one.test, point) != one.negated);
        (!points.any(fits_all)).then_some(place)
    })
}

fn is_same_property(one: &Test, other: &Test) -> bool {
    match (one, other) {
        (Test::Time { zone, .. }, Test::Time { zone: other, .. })
        | (Test::Weekday { zone, .. }, Test::Weekday { zone: other, .. }) => zone == other,
        _ => discriminant(one) == discriminant(other),
    }
}

/// Where the result of a test may change: milliseconds, minutes, weekdays, or false and true.
fn points_of(test: &Test) -> Vec<u64> {
    match test {
        Test::OneOf(..) | Test::Query { .. } => Vec::new(),
        Test::Date { from_ms, until_ms } => {
            [Some(0), *from_ms, *until_ms].into_iter().flatten().collect()
        }
        Test::Time { from, until, .. } => vec![(*from).into(), (*until).into()],
        Test::Weekday { .. } => (0..7).collect(),
        Test::Bot(_) | Test::Returning(_) => vec![0, 1],
    }
}

/// Whether a test matches at one of its [points](points_of).
fn fits(test: &Test, point: u64) -> bool {
    match test {
        Test::OneOf(..) | Test::Query { .. } => true,
        Test::Date { from_ms, until_ms } => {
            (from_ms.unwrap_or(0)..until_ms.unwrap_or(u64::MAX)).contains(&point)
        }
        Test::Time { from, until, .. } => {
            u16::try_from(point).is_ok_and(|minute| is_within(minute, *from, *until))
        }
        Test::Weekday { days, .. } => u64::from(*days) >> point & 1 == 1,
        Test::Bot(is_set) | Test::Returning(is_set) => *is_set == (point == 1),
    }
}

/// Whether a minute of the day is in a window that may cross midnight.
pub(super) const fn is_within(minute: u16, from: u16, until: u16) -> bool {
    if from < until { from <= minute && minute < until } else { from <= minute || minute < until }
}
