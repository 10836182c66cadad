//! The catalogue of plans: a TOML file.
//!
//! ```toml
//! default = "acme/free"
//!
//! [[plans]]
//! id = "acme/free"
//! name = "Free"
//! rates = [{ per = "token", requests = 60, window = "minute" }]
//! kinds = ["url"]
//! features = ["api"]
//! limits = { links_per_month = 100, analytics_retention_days = 30 }
//! ```
//!
//! Without `kinds` or `features`, a plan has all of them; without a limit, it is unlimited. The plan
//! `unlimited` exists even if the file lacks it. Of two plans of a product, the later one is the
//! larger: it is recommended when a limit of the earlier one is reached.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Deserialize;
use toml::Spanned;

use super::rate::{RateClass, RateLimit, RateScope, RateWindow};
use super::{
    AssignedPlan, Feature, Interval, Limit, LimitReached, Limits, Plan, PlanDefinition, Price,
};
use crate::domain::link::Kind;
use crate::domain::money::Money;

/// The id of the plan without limits.
pub const UNLIMITED: &str = "unlimited";
/// The maximum length of the id and of the name of a plan.
const MAX_NAME_BYTES: usize = 100;
/// The maximum value of a limit.
pub const MAX_LIMIT: u64 = 1_000_000_000_000;

/// A catalogue that a reload replaces.
pub type Catalogues = Arc<ArcSwap<Catalogue>>;

/// All plans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    plans: Vec<Arc<PlanDefinition>>,
    default: Arc<PlanDefinition>,
}

impl Default for Catalogue {
    /// The plan without limits only.
    fn default() -> Self {
        let default = Arc::new(unlimited());
        Self { plans: vec![Arc::clone(&default)], default }
    }
}

fn unlimited() -> PlanDefinition {
    PlanDefinition {
        id: UNLIMITED.to_owned(),
        name: "Unlimited".to_owned(),
        price: None,
        trial_days: 0,
        rates: Vec::new(),
        limits: Limits::default(),
        kinds: Kind::EVERY.to_vec(),
        features: Feature::EVERY.to_vec(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default: Option<Spanned<String>>,
    #[serde(default)]
    plans: Vec<PlanEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanEntry {
    id: Spanned<String>,
    name: Spanned<String>,
    price: Option<Spanned<PriceEntry>>,
    #[serde(default)]
    trial_days: u32,
    #[serde(default)]
    rates: Vec<RateEntry>,
    #[serde(default)]
    limits: BTreeMap<Limit, Spanned<u64>>,
    kinds: Option<Vec<Kind>>,
    features: Option<Vec<Feature>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceEntry {
    amount: String,
    currency: String,
    interval: Interval,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateEntry {
    per: RateScope,
    class: Option<RateClass>,
    requests: Spanned<u32>,
    window: RateWindow,
}

/// Makes an error of a value at its line.
fn wrong<T>(text: &str, at: &Spanned<T>, field: &str, rule: &str) -> String {
    let line = 1 + text.bytes().take(at.span().start).filter(|byte| *byte == b'\n').count();
    format!("line {line}: `{field}` {rule}")
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// Whether a text is an id: lower-case letters, digits, `-` and `_`, with at most one `/` between.
fn is_id(id: &str) -> bool {
    let is_allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(is_allowed);
    let (product, name) = id.split_once('/').unwrap_or((id, id));
    id.len() <= MAX_NAME_BYTES && is_part(product) && is_part(name)
}

/// The values that an entry names, each once; all of them if it names none.
fn chosen<T: Copy + PartialEq>(every: &[T], named: Option<&[T]>) -> Vec<T> {
    let is_named = |value: &T| named.is_none_or(|named| named.contains(value));
    every.iter().copied().filter(is_named).collect()
}

impl PlanEntry {
    fn check(self, text: &str) -> Result<PlanDefinition, String> {
        if !is_id(self.id.get_ref()) {
            let rule = "must consist of lower-case letters, digits, - and _, such as acme/free";
            return Err(wrong(text, &self.id, "id", rule));
        }
        if !is_name(self.name.get_ref()) {
            return Err(wrong(text, &self.name, "name", "must have 1 to 100 bytes"));
        }
        let price = self.price.map(|price| {
            let PriceEntry { amount, currency, interval } = price.get_ref();
            let money = currency.parse().and_then(|currency| Money::parse(amount, currency));
            let money = money.map_err(|error| wrong(text, &price, "price", &error))?;
            Ok::<_, String>(Price { money, interval: *interval })
        });
        let mut limits = Limits::default();
        for (limit, value) in self.limits {
            if *value.get_ref() > MAX_LIMIT {
                let rule = format!("must be at most {MAX_LIMIT}; leave it out for no limit");
                return Err(wrong(text, &value, limit.as_str(), &rule));
            }
            limits.set(limit, Some(value.into_inner()));
        }
        let mut rates: Vec<RateLimit> = Vec::new();
        for RateEntry { per: scope, class, requests, window } in self.rates {
            if *requests.get_ref() == 0 {
                return Err(wrong(text, &requests, "requests", "must be at least 1"));
            }
            let is_same = |other: &RateLimit| {
                (other.scope, other.class, other.window) == (scope, class, window)
            };
            if rates.iter().any(is_same) {
                return Err(wrong(text, &requests, "rates", "limits the same requests twice"));
            }
            rates.push(RateLimit { scope, class, requests: requests.into_inner(), window });
        }
        Ok(PlanDefinition {
            id: self.id.into_inner(),
            name: self.name.into_inner(),
            price: price.transpose()?,
            trial_days: self.trial_days,
            rates,
            limits,
            kinds: chosen(Kind::EVERY, self.kinds.as_deref()),
            features: chosen(Feature::EVERY, self.features.as_deref()),
        })
    }
}

impl Catalogue {
    /// Parses a catalogue.
    ///
    /// # Errors
    /// A message that names the line and the field.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut plans: Vec<Arc<PlanDefinition>> = Vec::new();
        for entry in file.plans {
            let id = entry.id.clone();
            if plans.iter().any(|plan| plan.id == *id.get_ref()) {
                let rule = format!("names the plan {} a second time", id.get_ref());
                return Err(wrong(text, &id, "id", &rule));
            }
            plans.push(Arc::new(entry.check(text)?));
        }
        if !plans.iter().any(|plan| plan.id == UNLIMITED) {
            plans.push(Arc::new(unlimited()));
        }
        let id = file.default.as_ref().map_or(UNLIMITED, |default| default.get_ref());
        let default = plans.iter().find(|plan| plan.id == id).cloned();
        match (default, file.default) {
            (Some(default), _) => Ok(Self { plans, default }),
            (None, Some(named)) => Err(wrong(text, &named, "default", "is not one of the plans")),
            (None, None) => Err("the plan `unlimited` is missing".to_owned()),
        }
    }

    /// All plans, in the order of the file.
    pub fn plans(&self) -> &[Arc<PlanDefinition>] {
        &self.plans
    }

    /// Whether a plan has this limit.
    pub fn has_limit(&self, limit: Limit) -> bool {
        self.plans.iter().any(|plan| plan.limits.get(limit).is_some())
    }

    /// The plan with an id.
    pub fn find(&self, id: &str) -> Option<&Arc<PlanDefinition>> {
        self.plans.iter().find(|plan| plan.id == id)
    }

    /// The plan of a workspace: the assigned one, or else, also if the catalogue lacks it by now,
    /// the default one.
    pub fn plan_of(&self, assigned: Option<&AssignedPlan>) -> Plan {
        let found = assigned.and_then(|assigned| self.find(&assigned.id));
        let definition = Arc::clone(found.unwrap_or(&self.default));
        let changes = assigned.map(|assigned| &assigned.overrides[..]).unwrap_or_default();
        let overridden = (!changes.is_empty()).then(|| {
            let mut limits = definition.limits;
            for changed in changes {
                if let Some(limit) = Limit::named(&changed.limit) {
                    limits.set(limit, changed.value);
                }
            }
            Arc::new(limits)
        });
        Plan { definition, overridden }
    }

    /// Describes that a limit of a plan is reached. The plan without limits is never recommended.
    pub fn limit_reached(&self, plan: &Plan, limit: Limit, max: u64) -> LimitReached {
        let later = self.plans.iter().skip_while(|other| other.id != plan.definition.id).skip(1);
        let mut of_product = later
            .filter(|other| other.id != UNLIMITED && other.product() == plan.definition.product());
        let recommended =
            of_product.find(|other| other.limits.get(limit).is_none_or(|other| other > max));
        LimitReached { limit, max, recommended: recommended.cloned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::state::LimitOverride;

    const FILE: &str = r#"default = "acme/free"

[[plans]]
id = "acme/free"
name = "Free"
rates = [{ per = "token", requests = 60, window = "minute" }]
kinds = ["url"]
features = ["api"]
limits = { links_per_month = 5, domains = 0 }

[[plans]]
id = "other/large"
name = "Large"

[[plans]]
id = "acme/core"
name = "Core"
price = { amount = "8", currency = "EUR", interval = "month" }
trial_days = 14

[plans.limits]
links_per_month = 100
domains = 0
"#;

    #[test]
    fn a_catalogue_describes_plans() {
        let catalogue = Catalogue::parse(FILE).unwrap();
        let ids: Vec<_> = catalogue.plans().iter().map(|plan| plan.id.as_str()).collect();
        assert_eq!(ids, ["acme/free", "other/large", "acme/core", "unlimited"]);
        let free = catalogue.plan_of(None);
        assert_eq!(free.definition.name, "Free");
        assert_eq!(free.limits().get(Limit::LinksPerMonth), Some(5));
        assert_eq!(free.limits().get(Limit::Links), None);
        assert!(free.includes(Feature::Api) && !free.includes(Feature::CustomSlugs));
        assert!(free.allows_kind(Kind::Url) && !free.allows_kind(Kind::Wifi));
        assert_eq!(free.definition.rates[0].requests, 60);
        let core = catalogue.find("acme/core").unwrap();
        assert_eq!(core.price.unwrap().money.amount(), "8.00");
        assert!(core.features.contains(&Feature::CustomSlugs));
    }

    #[test]
    fn overrides_replace_the_limits_of_the_plan() {
        let catalogue = Catalogue::parse(FILE).unwrap();
        let change = |limit: Limit, value| LimitOverride { limit: limit.as_str().into(), value };
        let overrides = vec![change(Limit::LinksPerMonth, None), change(Limit::Links, Some(3))];
        let plan = catalogue.plan_of(Some(&AssignedPlan { id: "acme/core".into(), overrides }));
        assert_eq!(plan.definition.name, "Core");
        assert_eq!(plan.limits().get(Limit::LinksPerMonth), None);
        assert_eq!(plan.limits().get(Limit::Links), Some(3));
        assert_eq!(plan.limits().get(Limit::Domains), Some(0));
        let unknown = AssignedPlan { id: "gone".into(), overrides: Vec::new() };
        assert_eq!(catalogue.plan_of(Some(&unknown)), catalogue.plan_of(None));
    }

    #[test]
    fn the_next_plan_of_the_product_that_allows_more_is_recommended() {
        let catalogue = Catalogue::parse(FILE).unwrap();
        let free = catalogue.plan_of(None);
        let recommended = |limit, max| {
            let reached = catalogue.limit_reached(&free, limit, max);
            reached.recommended.map(|plan| plan.id.clone())
        };
        assert_eq!(recommended(Limit::LinksPerMonth, 5).as_deref(), Some("acme/core"));
        assert_eq!(recommended(Limit::LinksPerMonth, 100), None, "an override of as much");
        assert_eq!(recommended(Limit::Domains, 0), None);
        let only =
            "default = 'free'\n[[plans]]\nid = 'free'\nname = 'Free'\nlimits = { links = 1 }";
        let catalogue = Catalogue::parse(only).unwrap();
        let reached = catalogue.limit_reached(&catalogue.plan_of(None), Limit::Links, 1);
        assert_eq!(reached.recommended, None, "the plan without limits is not for sale");
    }

    #[test]
    fn a_kind_or_a_feature_that_is_named_twice_counts_once() {
        let plan = "[[plans]]\nid = 'a'\nname = 'A'\n";
        let text =
            format!("{plan}kinds = ['text', 'url', 'url', 'url']\nfeatures = ['api', 'api']");
        let catalogue = Catalogue::parse(&text).unwrap();
        let plan = catalogue.find("a").unwrap();
        assert_eq!(plan.kinds, [Kind::Url, Kind::Text]);
        assert_eq!(plan.features, [Feature::Api]);
    }

    #[test]
    fn errors_name_the_line_and_the_field() {
        let plan = "[[plans]]\nid = 'a/b'\nname = 'B'\n";
        for (text, expected) in [
            (format!("{plan}colour = 1"), ["line 4", "colour"]),
            (format!("{plan}limits = {{ links = -1 }}"), ["line 4", "-1"]),
            (format!("{plan}limits = {{ slugs = 1 }}"), ["line 4", "slugs"]),
            (format!("{plan}limits = {{ links = 2000000000000 }}"), ["line 4", "links"]),
            (format!("{plan}features = ['flying']"), ["line 4", "flying"]),
            (format!("{plan}{plan}"), ["line 5", "a second time"]),
            (
                format!("{plan}price = {{ amount = '-1', currency = 'EUR', interval = 'month' }}"),
                ["line 4", "price"],
            ),
            (
                format!("{plan}price = {{ amount = '1', currency = 'EURO', interval = 'month' }}"),
                ["line 4", "EURO"],
            ),
            (
                format!("{plan}price = {{ amount = '1', currency = 'EUR', interval = 'week' }}"),
                ["line 4", "week"],
            ),
            (
                format!("{plan}rates = [{{ per = 'token', requests = 0, window = 'hour' }}]"),
                ["line 4", "requests"],
            ),
            (
                format!(
                    "{plan}[[plans.rates]]\nper = 'token'\nrequests = 1\nwindow = 'hour'\n\
                     [[plans.rates]]\nper = 'token'\nrequests = 2\nwindow = 'hour'"
                ),
                ["line 10", "twice"],
            ),
            (
                format!("{plan}rates = [{{ per = 'planet', requests = 1, window = 'hour' }}]"),
                ["line 4", "planet"],
            ),
            ("default = 'a/b'\n".to_owned(), ["line 1", "default"]),
            ("[[plans]]\nid = 'A'\nname = 'A'".to_owned(), ["line 2", "id"]),
            ("[[plans]]\nid = 'a/b/c'\nname = 'A'".to_owned(), ["line 2", "id"]),
            ("[[plans]]\nid = 'a'".to_owned(), ["line 1", "name"]),
        ] {
            let error = Catalogue::parse(&text).unwrap_err();
            assert!(expected.iter().all(|part| error.contains(part)), "{text}: {error}");
        }
        assert_eq!(Catalogue::parse("").unwrap(), Catalogue::default());
    }
}
