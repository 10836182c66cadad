//! Rules: where a link leads for some visitors, other than its own destination.
//!
//! They are tried in order; the first whose conditions all hold is followed, and when none is,
//! the link's own destination. What is written ([`body`]) is checked and normalised ([`Rules`]),
//! kept in the log ([`stored`]) and compiled once per version of a link ([`compiled`]).

pub mod app_url;
pub mod body;
pub mod compiled;
pub mod condition;
mod contradiction;
pub mod fact;
pub mod stored;
pub mod target;
mod value;
pub mod visitor;

use super::destination::Destination;
use super::error::Invalid;
use super::ids::RuleId;
use body::RuleBody;
use condition::Condition;
use target::Target;

/// How many rules a link may have.
pub const MAX_RULES: usize = 20;

/// How many conditions a rule may have.
pub const MAX_CONDITIONS: usize = 10;

const MAX_NAME_CHARS: usize = 100;

/// The rules of a link, in the order in which they are tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

/// Where visitors go for whom all the conditions hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Stays when the rule is changed or moved; variants are given by it.
    pub id: RuleId,
    /// A name for people.
    pub name: Option<String>,
    /// Without any the rule fits everybody.
    pub conditions: Vec<Condition>,
    /// Where it leads.
    pub target: Target,
}

/// What the rules' check has to know.
pub struct Context<'a> {
    /// The rules that stand: only their ids may be given back.
    pub before: &'a Rules,
    /// As in [`Destination::parse`].
    pub is_own: &'a dyn Fn(&str) -> bool,
    /// Makes the id of a rule that came without.
    pub new_id: &'a mut dyn FnMut() -> RuleId,
}

impl Rules {
    /// Checks a link's rules, all of them, and notes what is wrong under `rules[0]…`; `None` when
    /// something was noted.
    pub fn accept(
        bodies: Vec<RuleBody>,
        mut context: Context<'_>,
        invalid: &mut Invalid,
    ) -> Option<Self> {
        let mut own = Invalid::default();
        let rules = Self::checked(bodies, &mut context, &mut own);
        let has_notes = !own.fields().is_empty();
        for (field, reasons) in own.fields() {
            for reason in reasons {
                invalid.add(field, reason);
            }
        }
        rules.filter(|_| !has_notes)
    }

    fn checked(
        bodies: Vec<RuleBody>,
        context: &mut Context<'_>,
        invalid: &mut Invalid,
    ) -> Option<Self> {
        let count = bodies.len();
        if count > MAX_RULES {
            invalid.add("rules", format!("must not hold more than {MAX_RULES} rules"));
            return None;
        }
        let mut ids = Vec::with_capacity(count);
        let mut rules = Vec::with_capacity(count);
        let mut came_without = Vec::with_capacity(count);
        for (place, body) in bodies.into_iter().enumerate() {
            let at = format!("rules[{place}]");
            let is_last = place + 1 == count;
            came_without.push(body.id.is_none());
            let id = context.id(body.id.as_deref(), &ids);
            let id = invalid.check(&format!("{at}.id"), id);
            ids.extend(id);
            let name = body.name.filter(|name| !name.trim().is_empty());
            let name = name.map(|name| value::text(&name, MAX_NAME_CHARS));
            let name = invalid.check(&format!("{at}.name"), name.transpose());
            if body.conditions.is_empty() && !is_last {
                let rule = "must not be empty but in the last rule: none behind it is reached";
                invalid.add(format!("{at}.conditions"), rule);
            }
            let conditions = conditions(body.conditions, &at, invalid);
            let target =
                Target::accept(body.target, &format!("{at}.target"), context.is_own, invalid);
            let parts = id.zip(name).zip(conditions.zip(target));
            rules.push(parts.map(|((id, name), (conditions, target))| Rule {
                id,
                name,
                conditions,
                target,
            }));
        }
        note_unreachable(&rules, invalid);
        let mut rules = rules.into_iter().collect::<Option<Vec<_>>>()?;
        for (place, _) in came_without.iter().enumerate().filter(|(_, without)| **without) {
            context.keep_identity(&mut rules, place);
        }
        Some(Self(rules))
    }

    /// As they are given back.
    pub fn bodies(&self) -> Vec<RuleBody> {
        let each = self.0.iter().map(|rule| RuleBody {
            id: Some(rule.id.to_string()),
            name: rule.name.clone(),
            conditions: rule.conditions.iter().map(Condition::body).collect(),
            target: rule.target.body(),
        });
        each.collect()
    }

    /// The rules, in the order in which they are tried.
    pub fn as_slice(&self) -> &[Rule] {
        &self.0
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The destinations of all the rules, in the order that
    /// [`Chosen::destination`](compiled::Chosen::destination) counts.
    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        self.0.iter().flat_map(|rule| rule.target.destinations())
    }
}

impl Context<'_> {
    /// A rule that came without an id and says what one says that stands is that one.
    fn keep_identity(&self, rules: &mut [Rule], place: usize) {
        let Some(rule) = rules.get(place) else { return };
        let is_same = |before: &&Rule| Rule { id: before.id, ..rule.clone() } == **before;
        let is_free = |before: &&Rule| rules.iter().all(|rule| rule.id != before.id);
        let same = self.before.0.iter().filter(is_same).find(is_free).map(|before| before.id);
        if let (Some(rule), Some(id)) = (rules.get_mut(place), same) {
            rule.id = id;
        }
    }

    /// The id that is given back, or a new one.
    fn id(&mut self, given: Option<&str>, taken: &[RuleId]) -> Result<RuleId, String> {
        let Some(text) = given else { return Ok((self.new_id)()) };
        let id = text.parse::<RuleId>().map_err(|error| format!("is {error}"))?;
        if taken.contains(&id) {
            return Err("is the id of another rule in the list".to_owned());
        }
        if !self.before.0.iter().any(|rule| rule.id == id) {
            return Err("is no rule of this link: leave it out for a new one".to_owned());
        }
        Ok(id)
    }
}

/// The conditions of the rule at `at`; `None` when something was noted.
fn conditions(
    bodies: Vec<body::ConditionBody>,
    at: &str,
    invalid: &mut Invalid,
) -> Option<Vec<Condition>> {
    let at = format!("{at}.conditions");
    let count = bodies.len();
    if count > MAX_CONDITIONS {
        invalid.add(at, format!("must not hold more than {MAX_CONDITIONS} conditions"));
        return None;
    }
    let each = bodies.into_iter().enumerate();
    let conditions: Vec<_> = each
        .filter_map(|(place, body)| Condition::accept(body, &format!("{at}[{place}]"), invalid))
        .collect();
    if conditions.len() < count {
        return None;
    }
    if let Some((place, reason)) = contradiction::find(&conditions) {
        let field = conditions.get(place).map(Condition::field).unwrap_or_default();
        invalid.add(format!("{at}[{place}].{field}"), reason);
        return None;
    }
    Some(conditions)
}

/// A rule that asks for all that an earlier one asks for fits nobody who comes to it.
fn note_unreachable(rules: &[Option<Rule>], invalid: &mut Invalid) {
    for (place, rule) in rules.iter().enumerate() {
        let Some(rule) = rule else { continue };
        let before =
            rules.iter().take(place).enumerate().filter_map(|(earlier, rule)| {
                rule.as_ref().map(|rule| (earlier, &rule.conditions))
            });
        let covering = before.filter(|(_, earlier)| {
            // Said of the rule without conditions itself.
            !earlier.is_empty() && earlier.iter().all(|one| rule.conditions.contains(one))
        });
        if let Some((earlier, _)) = covering.into_iter().next() {
            let reason = format!("is never reached: rules[{earlier}] fits whomever it fits");
            invalid.add(format!("rules[{place}].conditions"), reason);
        }
    }
}

#[cfg(test)]
mod tests;
