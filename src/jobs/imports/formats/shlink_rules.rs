//! Maps Shlink's redirect rules (shlinkio/shlink, `docs/swagger/definitions/`
//! `ShortUrlRedirectRule.json`; before version 4 `DeviceLongUrls.json`).

use serde_json::Value;

use super::fields::{Fields, as_timestamp};
use crate::domain::rule::body::{
    ConditionBody, DateConditionBody, QueryConditionBody, RuleBody, TargetBody,
};

/// A link's rules, in order of evaluation.
pub(super) fn rules(fields: &mut Fields) -> Option<Vec<RuleBody>> {
    let mut rules = Vec::new();
    let mut listed: Vec<_> = fields.list("redirectRules").into_iter().enumerate().collect();
    let has_listed = !listed.is_empty();
    listed.sort_by_key(|(_, rule)| rule.get("priority").and_then(Value::as_i64).unwrap_or(0));
    for (index, listed) in listed {
        match rule(&listed) {
            Ok(rule) => rules.push(rule),
            Err((at, reason)) => fields.refuse(&format!("redirectRules[{index}].{at}"), reason),
        }
    }
    for (device, url) in fields.object("deviceLongUrls").unwrap_or_default() {
        let Value::String(url) = url else { continue };
        match self::device(&device) {
            Ok(condition) => rules.push(body(vec![condition], url)),
            Err(reason) => fields.refuse(&format!("deviceLongUrls.{device}"), reason),
        }
    }
    if fields.flag("hasRedirectRules").unwrap_or(false) && !has_listed {
        let reason = "the link has redirect rules that are not in the file: add the response of \
        `GET /short-urls/{shortCode}/redirect-rules` to the link as `redirectRules`, \
        or set this field to false to import the link without them";
        fields.refuse("hasRedirectRules", reason);
    }
    Some(rules).filter(|rules| !rules.is_empty())
}

fn body(conditions: Vec<ConditionBody>, url: String) -> RuleBody {
    let target = TargetBody { destination: Some(url), ..TargetBody::default() };
    RuleBody { id: None, name: None, conditions, target }
}

fn rule(listed: &Value) -> Result<RuleBody, (String, String)> {
    let wrong = |at: &str, reason: &str| (at.to_owned(), reason.to_owned());
    let url = listed.get("longUrl").and_then(Value::as_str);
    let url = url.ok_or_else(|| wrong("longUrl", "must be a string"))?;
    let conditions = listed.get("conditions").and_then(Value::as_array);
    let conditions = conditions.ok_or_else(|| wrong("conditions", "must be a list"))?;
    let mapped = conditions.iter().enumerate().map(|(index, listed)| {
        condition(listed).map_err(|reason| (format!("conditions[{index}]"), reason))
    });
    Ok(body(mapped.collect::<Result<_, _>>()?, url.to_owned()))
}

fn condition(listed: &Value) -> Result<ConditionBody, String> {
    let text = |name: &str| listed.get(name).and_then(Value::as_str).unwrap_or_default();
    let (key, value) = (text("matchKey").to_owned(), text("matchValue").to_owned());
    let one = || Some(vec![value.clone()]);
    let none = ConditionBody::default();
    let query = |has, equals| QueryConditionBody { name: key.clone(), has, equals, any: None };
    Ok(match text("type") {
        "device" => device(&value)?,
        "language" if value.contains(['-', '_']) => {
            return Err(format!("`{value}`: rules support languages (`en`), not regions"));
        }
        "language" => ConditionBody { language: one(), ..none },
        "browser" => ConditionBody { browser: one(), ..none },
        "query-param" => {
            ConditionBody { query: Some(query(None, one().map(|_| value.clone()))), ..none }
        }
        "any-value-query-param" => ConditionBody { query: Some(query(Some(true), None)), ..none },
        "valueless-query-param" => {
            ConditionBody { query: Some(query(None, Some(String::new()))), ..none }
        }
        "ip-address" => ConditionBody { address: one(), ..none },
        "geolocation-country-code" => ConditionBody { country: one(), ..none },
        "geolocation-city-name" => ConditionBody { city: one(), ..none },
        "before-date" | "after-date" => {
            let at = as_timestamp(&value).ok_or_else(|| format!("`{value}` is not a date"))?;
            let date = if text("type") == "before-date" {
                DateConditionBody { from: None, until: Some(at) }
            } else {
                DateConditionBody { from: Some(at), until: None }
            };
            ConditionBody { date: Some(date), ..none }
        }
        other => return Err(format!("unsupported condition `{other}`")),
    })
}

/// Maps Shlink's device types, which are devices or operating systems.
fn device(name: &str) -> Result<ConditionBody, String> {
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
    let (device, os) = match name {
        "android" => (None, words(&["Android"])),
        "ios" => (None, words(&["iOS"])),
        "windows" => (None, words(&["Windows"])),
        "macos" => (None, words(&["macOS"])),
        "linux" => (None, words(&["Linux"])),
        "chromeos" => (None, words(&["ChromeOS"])),
        "desktop" => (words(&["desktop"]), None),
        "mobile" => (words(&["mobile", "tablet"]), None),
        other => return Err(format!("unsupported device `{other}`")),
    };
    Ok(ConditionBody { device, os, ..ConditionBody::default() })
}
