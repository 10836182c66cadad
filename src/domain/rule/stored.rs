//! Rules as stored in the log. The field numbers are permanent.
//!
//! A rule with unknown parts is an error: without a condition that only a newer version knows, it
//! would match the wrong visitors.

use super::super::destination::Destination;
use super::super::ids::RuleId;
use super::app_url::{AppLinkTexts, AppLinks};
use super::condition::{Condition, Test};
use super::fact::Fact;
use super::target::{Split, Target, TargetKind, Variant};
use super::{Rule, Rules};
use crate::domain::error::Unreadable;

/// [`Rules`] as logged.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in Rules")]
pub struct RulesState {
    #[prost(message, repeated, tag = "1")]
    pub rules: Vec<RuleState>,
}

/// A [`Rule`] as logged.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in Rule and Target")]
pub struct RuleState {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    #[prost(message, repeated, tag = "3")]
    pub conditions: Vec<ConditionState>,
    #[prost(oneof = "TargetKindState", tags = "4, 5")]
    pub kind: Option<TargetKindState>,
    #[prost(message, optional, tag = "6")]
    pub app: Option<AppLinkTexts>,
}

/// A [`Condition`] as logged.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in Condition")]
pub struct ConditionState {
    #[prost(bool, tag = "1")]
    pub negated: bool,
    #[prost(oneof = "TestState", tags = "2, 3, 4, 5, 6, 7, 8")]
    pub test: Option<TestState>,
}

/// A [`Test`] as logged.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
#[allow(missing_docs, reason = "the same names as in Test")]
pub enum TestState {
    #[prost(message, tag = "2")]
    OneOf(OneOfState),
    #[prost(message, tag = "3")]
    Query(QueryState),
    #[prost(message, tag = "4")]
    Date(DateState),
    #[prost(message, tag = "5")]
    Time(TimeState),
    #[prost(message, tag = "6")]
    Weekday(WeekdayState),
    #[prost(bool, tag = "7")]
    Bot(bool),
    #[prost(bool, tag = "8")]
    Returning(bool),
}

/// [`Test::OneOf`] as logged.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in Test::OneOf")]
pub struct OneOfState {
    /// A [`Fact`]; a plain number, so that unknown values are detected.
    #[prost(int32, tag = "1")]
    pub fact: i32,
    #[prost(string, repeated, tag = "2")]
    pub values: Vec<String>,
}

/// [`Test::Query`] as logged.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in Test::Query")]
pub struct QueryState {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, repeated, tag = "2")]
    pub values: Vec<String>,
}

/// [`Test::Date`] as logged.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in Test::Date")]
pub struct DateState {
    #[prost(uint64, optional, tag = "1")]
    pub from_ms: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub until_ms: Option<u64>,
}

/// [`Test::Time`] as logged.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in Test::Time")]
pub struct TimeState {
    #[prost(uint32, tag = "1")]
    pub from: u32,
    #[prost(uint32, tag = "2")]
    pub until: u32,
    #[prost(string, tag = "3")]
    pub zone: String,
}

/// [`Test::Weekday`] as logged.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in Test::Weekday")]
pub struct WeekdayState {
    #[prost(uint32, tag = "1")]
    pub days: u32,
    #[prost(string, tag = "2")]
    pub zone: String,
}

/// A [`TargetKind`] as logged.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
#[allow(missing_docs, reason = "the same names as in TargetKind")]
pub enum TargetKindState {
    #[prost(string, tag = "4")]
    Destination(String),
    #[prost(message, tag = "5")]
    Split(SplitState),
}

/// A [`Split`] as logged.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in Split")]
pub struct SplitState {
    #[prost(message, repeated, tag = "1")]
    pub variants: Vec<VariantState>,
    #[prost(uint64, optional, tag = "2")]
    pub until_ms: Option<u64>,
    #[prost(uint32, optional, tag = "3")]
    pub winner: Option<u32>,
}

/// A [`Variant`] as logged.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in Variant")]
pub struct VariantState {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub destination: String,
    #[prost(uint32, tag = "3")]
    pub weight: u32,
}

const UNREADABLE: Unreadable = Unreadable("rule");

impl From<&Rules> for RulesState {
    fn from(rules: &Rules) -> Self {
        Self { rules: rules.0.iter().map(RuleState::from).collect() }
    }
}

impl RulesState {
    /// Decodes the rules.
    ///
    /// # Errors
    /// [`Unreadable`] for unknown values of a newer version.
    pub fn into_rules(self) -> Result<Rules, Unreadable> {
        self.rules.into_iter().map(RuleState::into_rule).collect::<Result<_, _>>().map(Rules)
    }
}

impl From<&Rule> for RuleState {
    fn from(rule: &Rule) -> Self {
        let app = &rule.target.app;
        Self {
            id: rule.id.as_bytes().to_vec(),
            name: rule.name.clone(),
            conditions: rule.conditions.iter().map(ConditionState::from).collect(),
            kind: Some(TargetKindState::from(&rule.target.kind)),
            app: (!app.is_empty()).then(|| app.texts()),
        }
    }
}

impl RuleState {
    fn into_rule(self) -> Result<Rule, Unreadable> {
        let kind = self.kind.ok_or(UNREADABLE)?.into_kind()?;
        Ok(Rule {
            id: RuleId::from_bytes(&self.id).map_err(|_| UNREADABLE)?,
            name: self.name,
            conditions: self
                .conditions
                .into_iter()
                .map(ConditionState::into_condition)
                .collect::<Result<_, _>>()?,
            target: Target { kind, app: self.app.map_or_else(AppLinks::default, AppLinks::from) },
        })
    }
}

impl From<&Condition> for ConditionState {
    fn from(condition: &Condition) -> Self {
        let test = match condition.test.clone() {
            Test::OneOf(fact, values) => TestState::OneOf(OneOfState { fact: fact.into(), values }),
            Test::Query { name, values } => TestState::Query(QueryState { name, values }),
            Test::Date { from_ms, until_ms } => TestState::Date(DateState { from_ms, until_ms }),
            Test::Time { from, until, zone } => {
                TestState::Time(TimeState { from: from.into(), until: until.into(), zone })
            }
            Test::Weekday { days, zone } => {
                TestState::Weekday(WeekdayState { days: days.into(), zone })
            }
            Test::Bot(bot) => TestState::Bot(bot),
            Test::Returning(returning) => TestState::Returning(returning),
        };
        Self { negated: condition.negated, test: Some(test) }
    }
}

impl ConditionState {
    fn into_condition(self) -> Result<Condition, Unreadable> {
        let test = match self.test.ok_or(UNREADABLE)? {
            TestState::OneOf(OneOfState { fact, values }) => {
                Test::OneOf(Fact::try_from(fact).map_err(|_| UNREADABLE)?, values)
            }
            TestState::Query(QueryState { name, values }) => Test::Query { name, values },
            TestState::Date(DateState { from_ms, until_ms }) => Test::Date { from_ms, until_ms },
            TestState::Time(TimeState { from, until, zone }) => Test::Time {
                from: u16::try_from(from).map_err(|_| UNREADABLE)?,
                until: u16::try_from(until).map_err(|_| UNREADABLE)?,
                zone,
            },
            TestState::Weekday(WeekdayState { days, zone }) => {
                Test::Weekday { days: u8::try_from(days).map_err(|_| UNREADABLE)?, zone }
            }
            TestState::Bot(bot) => Test::Bot(bot),
            TestState::Returning(returning) => Test::Returning(returning),
        };
        Ok(Condition { negated: self.negated, test })
    }
}

impl From<&TargetKind> for TargetKindState {
    fn from(kind: &TargetKind) -> Self {
        match kind {
            TargetKind::Destination(destination) => {
                Self::Destination(destination.as_str().to_owned())
            }
            TargetKind::Split(split) => Self::Split(SplitState {
                variants: split
                    .variants
                    .iter()
                    .map(|variant| VariantState {
                        name: variant.name.clone(),
                        destination: variant.destination.as_str().to_owned(),
                        weight: variant.weight,
                    })
                    .collect(),
                until_ms: split.until_ms,
                winner: split.winner.and_then(|place| u32::try_from(place).ok()),
            }),
        }
    }
}

impl TargetKindState {
    fn into_kind(self) -> Result<TargetKind, Unreadable> {
        let split = match self {
            Self::Destination(text) => {
                return Ok(TargetKind::Destination(Destination::from_log(&text)));
            }
            Self::Split(split) => split,
        };
        let winner = split.winner.map(usize::try_from).transpose().map_err(|_| UNREADABLE)?;
        let variants = split.variants.into_iter().map(|variant| Variant {
            name: variant.name,
            destination: Destination::from_log(&variant.destination),
            weight: variant.weight,
        });
        let variants: Vec<_> = variants.collect();
        if variants.is_empty() || winner.is_some_and(|place| place >= variants.len()) {
            return Err(UNREADABLE);
        }
        Ok(TargetKind::Split(Split { variants, until_ms: split.until_ms, winner }))
    }
}
