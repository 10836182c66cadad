//! Rules compiled for redirects, once per version of a link.
//!
//! Evaluation doesn't allocate, look up names or take locks.

mod check;
mod lists;
mod query;
mod shares;

use std::cell::OnceCell;

use super::Rules;
use super::target::TargetKind;
use super::visitor::{Needs, Visitor};
use check::Check;
use query::{Answers, Questions};
use shares::Shares;

/// The compiled rules of one version of a link.
pub struct CompiledRules {
    rules: Box<[CompiledRule]>,
    /// The query tests of all rules, evaluated in one pass over the query string.
    questions: Questions,
    /// The fields of a [`Visitor`] that the rules use.
    pub needs: Needs,
}

struct CompiledRule {
    /// Cheapest first: the order doesn't change the result.
    checks: Box<[Check]>,
    /// The index of its first destination among those of all rules.
    first_destination: usize,
    /// The shares of a split.
    shares: Option<Shares>,
}

/// The matching rule and the chosen destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// An index into [`Rules::as_slice`].
    pub rule: usize,
    /// The index of the variant, if the rule has a split.
    pub variant: Option<usize>,
    /// An index into [`Rules::destinations`].
    pub destination: usize,
}

/// A visitor during evaluation, with cached results.
struct Visit<'a> {
    visitor: &'a Visitor<'a>,
    questions: &'a Questions,
    answers: OnceCell<Answers>,
    returning: OnceCell<bool>,
}

impl CompiledRules {
    /// Compiles the rules. A rule with an unknown time zone never matches.
    pub fn new(rules: &Rules) -> Self {
        let mut needs = Needs::default();
        let mut asked = query::Collector::default();
        let mut first_destination = 0;
        let mut compiled = Vec::with_capacity(rules.0.len());
        for rule in &rules.0 {
            let each = rule.conditions.iter();
            let mut checks: Vec<_> =
                each.map(|condition| Check::new(condition, &mut asked, &mut needs)).collect();
            checks.sort_by_key(Check::cost);
            let shares = match &rule.target.kind {
                TargetKind::Destination(_) => None,
                TargetKind::Split(split) => Some(Shares::new(rule.id, split)),
            };
            if shares.is_some() {
                needs = needs | Needs::ID;
            }
            let checks = checks.into();
            compiled.push(CompiledRule { checks, first_destination, shares });
            first_destination += rule.target.destinations().count();
        }
        Self { rules: compiled.into(), questions: asked.into_questions(), needs }
    }

    /// The first matching rule and its destination for this visitor; `None` if no rule matches.
    pub fn decide(&self, visitor: &Visitor<'_>) -> Option<Chosen> {
        let visit = Visit {
            visitor,
            questions: &self.questions,
            answers: OnceCell::new(),
            returning: OnceCell::new(),
        };
        let fits = |rule: &&CompiledRule| rule.checks.iter().all(|check| check.holds(&visit));
        let (place, rule) = self.rules.iter().enumerate().find(|(_, rule)| fits(rule))?;
        let variant = rule.shares.as_ref().map(|shares| shares.of(visitor.id, visitor.at_ms));
        let destination = rule.first_destination + variant.unwrap_or(0);
        Some(Chosen { rule: place, variant, destination })
    }
}

impl Visit<'_> {
    /// Whether a query test matches.
    fn asks(&self, question: usize) -> bool {
        let query = self.visitor.query.unwrap_or_default();
        self.answers.get_or_init(|| self.questions.answer(query)).is_yes(question)
    }

    fn is_returning(&self) -> bool {
        *self.returning.get_or_init(self.visitor.returning)
    }
}
