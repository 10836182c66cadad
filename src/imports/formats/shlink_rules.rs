//! Shlink's redirect rules (shlinkio/shlink, `docs/swagger/definitions/`
//! `ShortUrlRedirectRule.json`; before version 4 `DeviceLongUrls.json`) as ours.

use serde_json::Value;

use super::fields::{Fields, as_moment};
use crate::domain::rule::body::{
    ConditionBody, DateConditionBody, QueryConditionBody, RuleBody, TargetBody,
};

/// A link's rules, in the order in which they are tried.
pub(super) fn rules(fields: &mut Fields) -> Option<Vec<RuleBody>> {
    let mut rules = Vec::new();
    let mut listed: Vec<_> = fields.list("redirectRules").into_iter().enumerate().collect();
    let is_told = !listed.is_empty();
    listed.sort_by_key(|(_, rule)| rule.get("priority").and_then(Value::as_i64).unwrap_or(0));
    for (place, listed) in listed {
        match rule(&listed) {
            Ok(rule) => rules.push(rule),
            Err((at, reason)) => fields.refuse(&format!("redirectRules[{place}].{at}"), reason),
        }
    }
    for (device, url) in fields.object("deviceLongUrls").unwrap_or_default() {
        let Value::String(url) = url else { continue };
        match self::device(&device) {
            Ok(condition) => rules.push(body(vec![condition], url)),
            Err(reason) => fields.refuse(&format!("deviceLongUrls.{device}"), reason),
        }
    }
    if fields.flag(&["hasRedirectRules"]).unwrap_or(false) && !is_told {
        let reason = "the link has redirect rules that the file does not tell: put those of \
                      `GET /short-urls/{shortCode}/redirect-rules` into the link as \
                      `redirectRules`, or set this to false to leave them behind";
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
    let url = url.ok_or_else(|| wrong("longUrl", "must be a text"))?;
    let conditions = listed.get("conditions").and_then(Value::as_array);
    let conditions = conditions.ok_or_else(|| wrong("conditions", "must be a list"))?;
    let taken = conditions.iter().enumerate().map(|(place, listed)| {
        condition(listed).map_err(|reason| (format!("conditions[{place}]"), reason))
    });
    Ok(body(taken.collect::<Result<_, _>>()?, url.to_owned()))
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
            return Err(format!(
                "`{value}`: rules know languages (`en`), not where they are spoken"
            ));
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
            let at = as_moment(&value).ok_or_else(|| format!("`{value}` is no date"))?;
            let date = if text("type") == "before-date" {
                DateConditionBody { from: None, until: Some(at) }
            } else {
                DateConditionBody { from: Some(at), until: None }
            };
            ConditionBody { date: Some(date), ..none }
        }
        other => return Err(format!("rules have no condition `{other}`")),
    })
}

/// What Shlink calls a device is one, or a system.
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
        other => return Err(format!("rules know no device `{other}`")),
    };
    Ok(ConditionBody { device, os, ..ConditionBody::default() })
}
