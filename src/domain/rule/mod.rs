//! Routing rules: other destinations for some visitors of a link.
//!
//! The first rule whose conditions all match decides the destination; if none matches, the link's
//! own destination is used. Requests ([`body`]) are validated and normalized ([`Rules`]), stored in
//! the log ([`stored`]) and compiled once per version of a link ([`compiled`]).

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

/// The maximum number of rules of a link.
pub const MAX_RULES: usize = 20;

/// The maximum number of conditions of a rule.
pub const MAX_CONDITIONS: usize = 10;

const MAX_NAME_CHARS: usize = 100;

/// The rules of a link, in the order in which they are tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

/// The target for visitors who match all conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Stays the same when the rule is changed or moved; variants are assigned by it.
    pub id: RuleId,
    /// A display name.
    pub name: Option<String>,
    /// Empty to match everyone.
    pub conditions: Vec<Condition>,
    /// The target.
    pub target: Target,
}

/// What the validation of rules depends on.
pub struct Context<'a> {
    /// The current rules, whose ids the input may use.
    pub before: &'a Rules,
    /// See [`Destination::parse`].
    pub is_own: &'a dyn Fn(&str) -> bool,
    /// Generates an id for a rule without one.
    pub new_id: &'a mut dyn FnMut() -> RuleId,
}

impl Rules {
    /// Validates all rules and reports errors under `rules[0]…`; `None` if any is invalid.
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
            invalid.add("rules", format!("must not contain more than {MAX_RULES} rules"));
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
                let rule = "must not be empty except in the last rule: later ones are unreachable";
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

    /// The rules for responses.
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

    /// Whether there are no rules.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The destinations of all rules, indexed by
    /// [`Chosen::destination`](compiled::Chosen::destination).
    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        self.0.iter().flat_map(|rule| rule.target.destinations())
    }
}

impl Context<'_> {
    /// Gives a rule without an id the id of an identical current rule.
    fn keep_identity(&self, rules: &mut [Rule], place: usize) {
        let Some(rule) = rules.get(place) else { return };
        let is_same = |before: &&Rule| Rule { id: before.id, ..rule.clone() } == **before;
        let is_free = |before: &&Rule| rules.iter().all(|rule| rule.id != before.id);
        let same = self.before.0.iter().filter(is_same).find(is_free).map(|before| before.id);
        if let (Some(rule), Some(id)) = (rules.get_mut(place), same) {
            rule.id = id;
        }
    }

    /// Validates the given id, or generates a new one.
    fn id(&mut self, given: Option<&str>, taken: &[RuleId]) -> Result<RuleId, String> {
        let Some(text) = given else { return Ok((self.new_id)()) };
        let id = text.parse::<RuleId>().map_err(|error| format!("is {error}"))?;
        if taken.contains(&id) {
            return Err("is the id of another rule in the list".to_owned());
        }
        if !self.before.0.iter().any(|rule| rule.id == id) {
            return Err("is not a rule of this link: omit it for a new one".to_owned());
        }
        Ok(id)
    }
}

/// Validates the conditions of the rule at `at`; `None` if any is invalid.
fn conditions(
    bodies: Vec<body::ConditionBody>,
    at: &str,
    invalid: &mut Invalid,
) -> Option<Vec<Condition>> {
    let at = format!("{at}.conditions");
    let count = bodies.len();
    if count > MAX_CONDITIONS {
        invalid.add(at, format!("must not contain more than {MAX_CONDITIONS} conditions"));
        return None;
    }
    let each = bodies.into_iter().enumerate();
    let conditions: Vec<_> = each
        .filter_map(|(place, body)| Condition::accept(body, &format!("{at}[{place}]"), invalid))
        .collect();
    if conditions.len() < count {
        return None;
    }
    if let Some(place) = contradiction::find(&conditions) {
        let field = conditions.get(place).map(Condition::field).unwrap_or_default();
        let reason = "matches no visitor together with the conditions before it";
        invalid.add(format!("{at}[{place}].{field}"), reason);
        return None;
    }
    Some(conditions)
}

/// Reports rules that have all conditions of an earlier rule: they never match.
fn note_unreachable(rules: &[Option<Rule>], invalid: &mut Invalid) {
    for (place, rule) in rules.iter().enumerate() {
        let Some(rule) = rule else { continue };
        let before =
            rules.iter().take(place).enumerate().filter_map(|(earlier, rule)| {
                rule.as_ref().map(|rule| (earlier, &rule.conditions))
            });
        let covering = before.filter(|(_, earlier)| {
            // An earlier rule without conditions is reported itself.
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
