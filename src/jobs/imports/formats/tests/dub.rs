//! Dub's files.

use serde_json::{Value, json};

use super::*;
use crate::domain::link::Password;
use crate::domain::rule::body::RuleBody;

fn answer(more: &Value) -> String {
    let mut link = json!({
        "id": "link_1K", "domain": "acme.link", "key": "spring", "url": "https://acme.example/",
        "trackConversion": false, "externalId": "ext-7", "tenantId": null, "archived": false,
        "expiresAt": "2099-01-01T00:00:00.000Z", "expiredUrl": "https://acme.example/over",
        "password": null, "proxy": true, "title": "Card", "description": "Below",
        "image": "https://acme.example/card.png", "video": null, "rewrite": false,
        "doIndex": false, "ios": null, "android": null, "geo": null, "publicStats": true,
        "tags": [{"id": "tag_1", "name": "mail", "color": "red"}], "folderId": null,
        "comments": "ask Ada", "shortLink": "https://acme.link/spring", "utm_source": "mail",
        "utm_medium": null, "clicks": 7, "createdAt": "2024-03-01T10:00:00.000Z"
    });
    for (name, value) in more.as_object().unwrap() {
        link[name] = value.clone();
    }
    json!([link]).to_string()
}

fn rules(more: &Value) -> Vec<RuleBody> {
    let link = link(Format::Dub, answer(more));
    assert_accepted(link.clone());
    match link.rules {
        Field::Value(rules) => rules,
        Field::Absent | Field::Null => Vec::new(),
    }
}

#[test]
fn the_api_response() {
    let row = row(Format::Dub, answer(&json!({})));
    assert_eq!(row.host.as_deref(), Some("acme.link"));
    let link = row.link.unwrap();
    assert_eq!((link.slug, link.destination), (text("spring"), text("https://acme.example/")));
    assert_eq!((link.external_id, link.title), (text("ext-7"), Field::Absent));
    assert_eq!(link.expires_at, text("2099-01-01T00:00:00.000Z"));
    assert_eq!(link.expired_url, text("https://acme.example/over"));
    assert_eq!((link.og_title, link.og_description), (text("Card"), text("Below")));
    assert_eq!((link.og_preview, link.noindex), (Field::Value(true), Field::Value(true)));
    assert_eq!((link.notes, link.tags), (text("ask Ada"), texts(&["mail"])));
    assert_eq!((link.utm_source, link.utm_medium), (text("mail"), Field::Absent));
    assert_eq!((link.rules, link.password), (Field::Absent, Field::Absent));
}

#[test]
fn passwords_are_imported_or_the_link_is_refused() {
    let link = link(Format::Dub, answer(&json!({"password": "sesame"})));
    assert_eq!(link.password, Field::Value(Password::Chosen("sesame".to_owned())));
    for hidden in [json!(true), json!("••••••"), json!("$2b$10$abcdefghijk"), json!(["x"])]
    {
        let file = answer(&json!({"password": hidden}));
        assert_eq!(refused_fields(Format::Dub, file), ["password"], "{hidden}");
    }
}

#[test]
fn a_domain_root_is_not_a_link() {
    let row = row(Format::Dub, answer(&json!({"key": "_root"})));
    assert_eq!(row.slug.as_deref(), Some("_root"));
    let refused = row.link.unwrap_err();
    assert_eq!(refused[0].0, "key");
    assert!(refused[0].1.contains("root redirect"));
}

#[test]
fn destinations_by_system_and_country() {
    let link =
        link(Format::Dub, answer(&json!({"ios": "https://apps.example/i", "android": "acme://a"})));
    assert_eq!(
        (link.ios_url, link.android_url),
        (text("https://apps.example/i"), text("acme://a"))
    );
    let geo = json!({"DE": "https://acme.example/de", "FR": "https://acme.example/fr", "AT": "https://acme.example/de"});
    let rules = rules(&json!({"ios": "https://apps.example/i", "geo": geo}));
    let found: Vec<_> = rules
        .iter()
        .map(|rule| (&rule.conditions[0], rule.target.destination.as_deref().unwrap()))
        .map(|(on, to)| (on.os.clone().or(on.country.clone()).unwrap().join(" "), to))
        .collect();
    assert_eq!(
        found,
        [
            ("iOS".to_owned(), "https://apps.example/i"),
            ("AT DE".to_owned(), "https://acme.example/de"),
            ("FR".to_owned(), "https://acme.example/fr"),
        ]
    );
    assert_eq!(refused_fields(Format::Dub, answer(&json!({"geo": {"DE": 7}}))), ["geo.DE"]);
    assert_eq!(refused_fields(Format::Dub, answer(&json!({"geo": "DE"}))), ["geo"]);
}

#[test]
fn a_running_test_becomes_a_split() {
    let variants = json!([{"url": "https://acme.example/a", "percentage": 60},
                          {"url": "https://acme.example/b", "percentage": 40}]);
    let going_on = json!({"testVariants": variants, "testCompletedAt": "2099-01-01T00:00:00Z"});
    let mut going = rules(&going_on);
    let rule = going.remove(0);
    assert!(going.is_empty() && rule.conditions.is_empty());
    let split = rule.target.split.unwrap();
    assert_eq!(split.until.as_deref(), Some("2099-01-01T00:00:00Z"));
    let shares: Vec<_> = split.variants.iter().map(|one| (one.name.as_str(), one.weight)).collect();
    assert_eq!(shares, [("A", 60), ("B", 40)]);
    let over = json!({"testVariants": variants, "testCompletedAt": "2020-01-01T00:00:00Z"});
    assert_eq!(rules(&over), []);
    let odd = answer(&json!({"testVariants": [{"url": "https://acme.example/a"}]}));
    assert_eq!(refused_fields(Format::Dub, odd), ["testVariants[0]"]);
}

#[test]
fn the_dashboards_export() {
    let file = "Short link,Destination URL,Clicks,Created at,Tags,Archived,Comments\n\
        https://acme.link/spring,https://acme.example/,7,2024-03-01T10:00:00.000Z,\"mail, 2024\",false,\n\
        https://acme.link,https://acme.example/,7,2024-03-01T10:00:00.000Z,,true,\n";
    let rows = rows(Format::Dub, file);
    assert_eq!(
        (rows[0].host.as_deref(), rows[0].slug.as_deref()),
        (Some("acme.link"), Some("spring"))
    );
    let link = rows[0].link.clone().unwrap();
    assert_eq!((link.tags, link.archived), (texts(&["mail", "2024"]), Field::Value(false)));
    assert_eq!(rows[1].link.as_ref().unwrap_err()[0].0, "key", "the domain's own address");
}
