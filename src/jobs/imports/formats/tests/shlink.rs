//! Shlink's files.

use serde_json::{Value, json};

use super::*;
use crate::domain::rule::body::ConditionBody;

fn answer(more: &Value) -> String {
    let mut link = json!({
        "shortCode": "spring", "shortUrl": "https://s.example/spring",
        "longUrl": "https://acme.example/", "dateCreated": "2024-03-01T10:00:00+01:00",
        "visitsSummary": {"total": 7, "nonBots": 5, "bots": 2}, "tags": ["mail", "2024"],
        "meta": {"validSince": "2024-03-01T10:00:00+01:00", "validUntil": null, "maxVisits": null},
        "domain": null, "title": "Spring", "crawlable": false, "forwardQuery": true,
        "hasRedirectRules": false
    });
    for (name, value) in more.as_object().unwrap() {
        link[name] = value.clone();
    }
    json!({"shortUrls": {"data": [link], "pagination": {"currentPage": 1}}}).to_string()
}

#[test]
fn the_api_response() {
    let row = row(Format::Shlink, answer(&json!({})));
    assert_eq!(row.host.as_deref(), Some("s.example"));
    let link = row.link.unwrap();
    assert_eq!((link.slug, link.destination), (text("spring"), text("https://acme.example/")));
    assert_eq!((link.title, link.tags), (text("Spring"), texts(&["mail", "2024"])));
    assert_eq!((link.noindex, link.forward_query), (Field::Value(true), Field::Value(true)));
    assert_eq!(link.starts_at, text("2024-03-01T10:00:00+01:00"));
    assert_eq!((link.expires_at, link.max_clicks), (Field::Absent, Field::Absent));
    assert_eq!(link.rules, Field::Absent);
}

#[test]
fn past_visits_are_subtracted() {
    let file = answer(&json!({"meta": {"maxVisits": 10}}));
    assert_eq!(link(Format::Shlink, file).max_clicks, Field::Value(3));
    let file = answer(&json!({"meta": {"maxVisits": 5, "validUntil": "soon"}}));
    assert_eq!(refused_fields(Format::Shlink, file), ["meta.validUntil", "meta.maxVisits"]);
    let file = answer(&json!({"meta": []}));
    assert_eq!(link(Format::Shlink, file).max_clicks, Field::Absent, "as PHP writes none");
}

#[test]
fn rules_are_mapped_or_the_link_is_refused() {
    let condition = |of: &str, key: Value, value: &str| json!({"type": of, "matchKey": key, "matchValue": value});
    let rules = json!([
        {"priority": 2, "longUrl": "https://acme.example/2", "conditions": [
            condition("geolocation-country-code", Value::Null, "DE"),
            condition("query-param", json!("ref"), "mail"),
            condition("any-value-query-param", json!("x"), ""),
            condition("valueless-query-param", json!("y"), ""),
            condition("ip-address", Value::Null, "192.0.2.0/24"),
            condition("before-date", Value::Null, "2027-01-01T00:00:00+00:00")]},
        {"priority": 1, "longUrl": "https://acme.example/1", "conditions": [
            condition("device", Value::Null, "mobile"), condition("device", Value::Null, "ios"),
            condition("language", Value::Null, "de")]}
    ]);
    let file = answer(&json!({"hasRedirectRules": true, "redirectRules": rules}));
    let link = link(Format::Shlink, file);
    assert_accepted(link.clone());
    let Field::Value(rules) = link.rules else { panic!("no rules") };
    let to: Vec<_> = rules.iter().map(|rule| rule.target.destination.as_deref().unwrap()).collect();
    assert_eq!(to, ["https://acme.example/1", "https://acme.example/2"]);
    let as_json = |condition: &ConditionBody| serde_json::to_value(condition).unwrap();
    let found: Vec<_> = rules.iter().flat_map(|rule| &rule.conditions).map(as_json).collect();
    assert_eq!(
        found,
        [
            json!({"device": ["mobile", "tablet"]}),
            json!({"os": ["iOS"]}),
            json!({"language": ["de"]}),
            json!({"country": ["DE"]}),
            json!({"query": {"name": "ref", "equals": "mail"}}),
            json!({"query": {"name": "x", "has": true}}),
            json!({"query": {"name": "y", "equals": ""}}),
            json!({"address": ["192.0.2.0/24"]}),
            json!({"date": {"until": "2027-01-01T00:00:00+00:00"}}),
        ]
    );
    let untold = answer(&json!({"hasRedirectRules": true}));
    assert_eq!(refused_fields(Format::Shlink, untold), ["hasRedirectRules"]);
    for odd in [condition("moon", Value::Null, "full"), condition("language", Value::Null, "de-AT")]
    {
        let rule = json!({"longUrl": "https://acme.example/", "conditions": [odd]});
        let file = answer(&json!({"redirectRules": [rule]}));
        assert_eq!(refused_fields(Format::Shlink, file), ["redirectRules[0].conditions[0]"]);
    }
    let devices =
        answer(&json!({"deviceLongUrls": {"android": "https://acme.example/a", "ios": null}}));
    let Field::Value(rules) = super::link(Format::Shlink, devices).rules else {
        panic!("no rules")
    };
    assert_eq!(
        (rules.len(), rules[0].conditions[0].os.clone()),
        (1, Some(vec!["Android".to_owned()]))
    );
}

#[test]
fn the_web_clients_export() {
    let file = "createdAt,domain,shortCode,shortUrl,longUrl,title,tags,visits\n\
        2024-03-01T10:00:00+01:00,s.example,spring,https://s.example/spring,https://acme.example/,Spring,mail|2024,7\n";
    let row = row(Format::Shlink, file);
    assert_eq!((row.host.as_deref(), row.slug.as_deref()), (Some("s.example"), Some("spring")));
    assert_eq!(row.link.unwrap().tags, texts(&["mail", "2024"]));
}

/// Has no `shortCode`, and commas between tags.
#[test]
fn the_older_web_clients_export() {
    let file = "createdAt,shortUrl,longUrl,title,tags,visits\n\
        2023-03-01T10:00:00+01:00,https://s.example/spring,https://acme.example/,Spring,\"mail,2024\",7\n\
        2023-03-01T10:00:00+01:00,,https://acme.example/,,,7\n";
    assert_eq!(Format::guess(file.as_bytes()), Some(Format::Shlink));
    let rows = rows(Format::Shlink, file);
    assert_eq!(
        (rows[0].host.as_deref(), rows[0].slug.as_deref()),
        (Some("s.example"), Some("spring"))
    );
    assert_eq!(rows[0].link.as_ref().unwrap().tags, texts(&["mail", "2024"]));
    assert_eq!(rows[1].link.as_ref().unwrap_err()[0].0, "slug", "none gets a generated slug");
}
