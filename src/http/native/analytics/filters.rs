//! Filters of requests.

use serde_json::Value as Json;

use super::scope::Resolver;
use crate::queries::analytics::{
    Condition, Dimension, Filter, MAX_CONDITIONS, MAX_DEPTH, MAX_VALUES, Test,
};

/// The names of the operators.
pub const OPERATORS: &[&str] = &["is", "is_not", "contains", "matches", "in", "is_set"];

/// An error in a filter: the path of the field, and the reason.
pub type Wrong = (String, String);

/// Parses filters, and counts their conditions.
pub struct Reader<'a> {
    pub resolver: &'a Resolver<'a>,
    pub conditions: usize,
}

impl Reader<'_> {
    /// A filter, or a list of filters that all have to match.
    pub fn read(&mut self, json: &Json, path: &str) -> Result<Filter, Wrong> {
        match json {
            Json::Array(each) => self.each(each, path, 0).map(Filter::And),
            one => self.filter(one, path, 0),
        }
    }

    fn each(&mut self, each: &[Json], path: &str, depth: usize) -> Result<Vec<Filter>, Wrong> {
        let each = each.iter().enumerate();
        each.map(|(at, one)| self.filter(one, &format!("{path}[{at}]"), depth + 1)).collect()
    }

    fn filter(&mut self, json: &Json, path: &str, depth: usize) -> Result<Filter, Wrong> {
        let wrong = |text: String| (path.to_owned(), text);
        if depth > MAX_DEPTH {
            return Err(wrong(format!("is nested deeper than {MAX_DEPTH} levels")));
        }
        let rule = "must be {\"dimension\", \"operator\", \"value\"}, {\"and\": [...]}, \
                    {\"or\": [...]} or {\"not\": {...}}";
        let Json::Object(fields) = json else { return Err(wrong(rule.to_owned())) };
        for (word, build) in
            [("and", Filter::And as fn(Vec<Filter>) -> Filter), ("or", Filter::Or as fn(_) -> _)]
        {
            match fields.get(word) {
                Some(Json::Array(each)) if fields.len() == 1 => {
                    return self.each(each, &format!("{path}.{word}"), depth).map(build);
                }
                Some(_) => return Err(wrong(rule.to_owned())),
                None => {}
            }
        }
        match fields.get("not") {
            Some(one) if fields.len() == 1 => {
                let one = self.filter(one, &format!("{path}.not"), depth + 1)?;
                return Ok(Filter::Not(Box::new(one)));
            }
            Some(_) => return Err(wrong(rule.to_owned())),
            None => {}
        }
        if let Some(odd) =
            fields.keys().find(|name| !["dimension", "operator", "value"].contains(&name.as_str()))
        {
            return Err((format!("{path}.{odd}"), format!("is not a field here: {rule}")));
        }
        self.conditions += 1;
        if self.conditions > MAX_CONDITIONS {
            return Err(wrong(format!("has more than {MAX_CONDITIONS} conditions")));
        }
        self.condition(fields, path)
    }

    fn condition(
        &self,
        fields: &serde_json::Map<String, Json>,
        path: &str,
    ) -> Result<Filter, Wrong> {
        let text = |name: &str| fields.get(name).and_then(Json::as_str);
        let dimension = text("dimension").and_then(Dimension::named);
        let dimension = dimension.filter(|dimension| *dimension != Dimension::Time);
        let dimension = dimension.ok_or_else(|| {
            let names: Vec<_> = Dimension::filterable().map(Dimension::as_str).collect();
            (format!("{path}.dimension"), format!("must be one of {}", names.join(", ")))
        })?;
        let at = |name: &str| format!("{path}.{name}");
        let operator = text("operator").filter(|operator| OPERATORS.contains(operator));
        let operator = operator
            .ok_or_else(|| (at("operator"), format!("must be one of {}", OPERATORS.join(", "))))?;
        let value = fields.get("value");
        let one = || {
            let one = value.and_then(as_text);
            one.ok_or_else(|| (at("value"), "must be a text".to_owned()))
        };
        let many = || match value {
            Some(Json::Array(values)) if values.len() > MAX_VALUES => {
                Err((at("value"), format!("must not list more than {MAX_VALUES} values")))
            }
            Some(Json::Array(values)) => {
                let texts: Option<Vec<_>> = values.iter().map(as_text).collect();
                texts.ok_or_else(|| (at("value"), "must be a list of texts".to_owned()))
            }
            _ => one().map(|one| vec![one]),
        };
        let within = |values: Vec<String>| {
            let values = self.resolver.values(dimension, values);
            values.and_then(|values| Condition::is_in(dimension, values))
        };
        let condition = match operator {
            "is" | "is_not" | "in" => within(many()?),
            "contains" => Condition::contains(dimension, one()?),
            "matches" => Condition::matches(dimension, one()?),
            _ => return set(dimension, value).map_err(|text| (at("value"), text)),
        };
        let condition = Filter::Is(condition.map_err(|text| (at("value"), text))?);
        Ok(if operator == "is_not" { Filter::Not(Box::new(condition)) } else { condition })
    }
}

/// Parses an `is_set` condition.
fn set(dimension: Dimension, value: Option<&Json>) -> Result<Filter, String> {
    let is_set = Filter::Is(Condition { dimension, test: Test::IsSet });
    match value {
        None | Some(Json::Bool(true)) => Ok(is_set),
        Some(Json::Bool(false)) => Ok(Filter::Not(Box::new(is_set))),
        Some(_) => Err("must be true, false or absent".to_owned()),
    }
}

/// A value as text; null is the unknown value.
fn as_text(json: &Json) -> Option<String> {
    match json {
        Json::Null => Some(String::new()),
        Json::String(text) => Some(text.clone()),
        Json::Bool(is) => Some(is.to_string()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
