//! Filters, as written in requests and as evaluated by the tests.

use regex::RegexBuilder;
use serde_json::{Value, json};

use super::fact::{DIMENSIONS, Fact, is_text, place};
use super::rng::Dice;
use super::world::World;

/// A condition, or some of them.
#[derive(Debug, Clone)]
pub enum Filter {
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    Is { dimension: &'static str, operator: &'static str, value: Value },
}

/// Whether a click matches.
pub type Holds = Box<dyn Fn(&Fact) -> bool>;

impl Filter {
    pub fn is(dimension: &'static str, operator: &'static str, value: impl Into<Value>) -> Self {
        Self::Is { dimension, operator, value: value.into() }
    }

    pub fn json(&self) -> Value {
        let all = |each: &[Self]| each.iter().map(Self::json).collect::<Value>();
        match self {
            Self::And(each) => json!({ "and": all(each) }),
            Self::Or(each) => json!({ "or": all(each) }),
            Self::Not(one) => json!({ "not": one.json() }),
            Self::Is { dimension, operator, value } => {
                json!({ "dimension": dimension, "operator": operator, "value": value })
            }
        }
    }

    pub fn holds(&self, host: &str) -> Holds {
        let all = |each: &[Self]| each.iter().map(|one| one.holds(host)).collect::<Vec<_>>();
        match self {
            Self::And(each) => {
                let each = all(each);
                Box::new(move |click| each.iter().all(|holds| holds(click)))
            }
            Self::Or(each) => {
                let each = all(each);
                Box::new(move |click| each.iter().any(|holds| holds(click)))
            }
            Self::Not(one) => {
                let one = one.holds(host);
                Box::new(move |click| !one(click))
            }
            Self::Is { dimension, operator, value } => condition(dimension, operator, value, host),
        }
    }
}

fn condition(dimension: &'static str, operator: &str, value: &Value, host: &str) -> Holds {
    let at = place(dimension);
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(host_name) if dimension == "domain" && host_name == host => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let texts: Vec<String> = match value {
        Value::Array(values) => values.iter().map(text).collect(),
        one => vec![text(one)],
    };
    match operator {
        "is" | "in" => Box::new(move |click| texts.iter().any(|text| text == click.value(at))),
        "is_not" => Box::new(move |click| texts.iter().all(|text| text != click.value(at))),
        "contains" => {
            let wanted = value.as_str().unwrap().to_lowercase();
            Box::new(move |click| click.value(at).to_lowercase().contains(&wanted))
        }
        "matches" => {
            // In ClickHouse a dot also matches the end of a line.
            let pattern = RegexBuilder::new(value.as_str().unwrap())
                .dot_matches_new_line(true)
                .build()
                .unwrap();
            Box::new(move |click| pattern.is_match(click.value(at)))
        }
        "is_set" => {
            let is_wanted = value.as_bool().unwrap();
            let is_known = move |click: &Fact| !is_text(dimension) || !click.value(at).is_empty();
            Box::new(move |click| is_known(click) == is_wanted)
        }
        other => panic!("{other} is no operator"),
    }
}

/// Any condition on any dimension; most of them match some clicks.
pub fn any_condition(dice: &mut Dice, world: &World) -> Filter {
    let dimension = dice.pick(&DIMENSIONS);
    let operators: &[&str] = if is_text(dimension) {
        &["is", "is_not", "in", "contains", "matches", "is_set"]
    } else {
        &["is", "is_not", "in", "is_set"]
    };
    let operator = dice.pick(operators);
    let any_value = |dice: &mut Dice| {
        let at = dice.index(world.clicks.len());
        world.clicks[at].value(place(dimension)).to_owned()
    };
    let value = match operator {
        "is_set" => json!(dice.per_cent(50)),
        "contains" => {
            let value = any_value(dice);
            json!(any_part(dice, &value))
        }
        "matches" => {
            let value = any_value(dice);
            let part = regex::escape(&any_part(dice, &value));
            let forms = ["{}", "^{}", "{}$", "(?i){}", "{}|^$", "(?:{})+", ".{}.", "[^a-m]{}"];
            json!(dice.pick(&forms).replace("{}", &part))
        }
        _ if operator == "in" || dice.per_cent(20) => {
            let count = dice.below(4);
            (0..count).map(|_| any_value(dice)).collect::<Value>()
        }
        _ => json!(any_value(dice)),
    };
    Filter::Is { dimension, operator, value }
}

/// A part of a text, of at most twelve letters.
fn any_part(dice: &mut Dice, text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.is_empty() {
        return dice.pick(&["", "a", "ü"]).to_owned();
    }
    let from = dice.index(letters.len());
    let len = 1 + dice.index(12);
    letters.iter().skip(from).take(len).collect()
}

/// Conditions in any tree of some levels.
pub fn any_tree(dice: &mut Dice, world: &World, levels: u32) -> Filter {
    if levels == 0 || dice.per_cent(30) {
        return any_condition(dice, world);
    }
    let some = |dice: &mut Dice| {
        let count = dice.below(4);
        (0..count).map(|_| any_tree(dice, world, levels - 1)).collect::<Vec<_>>()
    };
    match dice.below(5) {
        0 => Filter::Not(Box::new(any_tree(dice, world, levels - 1))),
        1 | 2 => Filter::And(some(dice)),
        _ => Filter::Or(some(dice)),
    }
}
