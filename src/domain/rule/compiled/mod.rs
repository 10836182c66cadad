//! Rules in the form that a redirect follows: made once per version of a link, read by each visit.
//!
//! Nothing here is allocated, looked up by name or locked while a visitor waits.

mod check;
mod lists;
mod query;
mod shares;

use std::cell::OnceCell;

use super::Rules;
use super::target::Way;
use super::visitor::{Needs, Visitor};
use check::Check;
use query::{Answers, Questions};
use shares::Shares;

/// The rules of one version of a link.
pub struct CompiledRules {
    rules: Box<[CompiledRule]>,
    /// What all the rules ask of the query, so that one pass over it answers them.
    questions: Questions,
    needs: Needs,
}

struct CompiledRule {
    /// The cheap ones first; which one fails makes no difference.
    checks: Box<[Check]>,
    /// Where its destinations begin among those of all rules.
    first_destination: usize,
    /// Only of a split.
    shares: Option<Shares>,
}

/// Which rule is followed, and to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// A place in [`Rules::as_slice`].
    pub rule: usize,
    /// A place among the variants of the rule's split, where it has one.
    pub variant: Option<usize>,
    /// A place in [`Rules::destinations`].
    pub destination: usize,
}

/// A visitor while rules are tried: what was found out stays known.
struct Visit<'a> {
    visitor: &'a Visitor<'a>,
    questions: &'a Questions,
    answers: OnceCell<Answers>,
    returning: OnceCell<bool>,
}

impl CompiledRules {
    /// Compiles the rules. One whose time zone isn't known any more is never followed.
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
            let shares = match &rule.target.way {
                Way::Destination(_) => None,
                Way::Split(split) => Some(Shares::new(rule.id, split)),
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

    /// What of a [`Visitor`] is looked at.
    pub const fn needs(&self) -> Needs {
        self.needs
    }

    /// The first rule that fits, and where it leads this visitor; `None` when none fits.
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
    /// Whether the query answers a question with yes.
    fn asks(&self, question: usize) -> bool {
        let query = self.visitor.query.unwrap_or_default();
        self.answers.get_or_init(|| self.questions.answer(query)).is_yes(question)
    }

    fn is_returning(&self) -> bool {
        *self.returning.get_or_init(self.visitor.returning)
    }
}
