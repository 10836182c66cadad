//! Our own CSV and NDJSON.

use serde_json::json;

use super::*;
use crate::domain::link::{Kind, Password};

#[test]
fn each_field_of_a_link_is_a_column() {
    let file = "slug,destination,domain,kind,title,utm_source,forward_query,redirect_status,archived,\
        starts_at,expires_at,max_clicks,password,rules,tags,folder,external_id,notes,og_title\n\
        a,https://a.example/,go.example,url,A title,mail,FALSE,307,true,2027-01-01,\
        2027-02-01 10:00:00,10,sesame,\
        \"[{\"\"id\"\":\"\"rule_x\"\",\"\"conditions\"\":[{\"\"country\"\":[\"\"DE\"\"]}],\"\"target\"\":{\"\"destination\"\":\"\"https://b.example/\"\"}}]\",\
        \"spring, mail,\",clients/acme,ext-1,for you,\n";
    let row = row(Format::Csv, file);
    assert_eq!(row.host.as_deref(), Some("go.example"));
    let link = row.link.unwrap();
    assert_eq!(link.domain, Field::Absent, "the caller decides where a link comes to stand");
    assert_eq!(link.kind, Field::Value(Kind::Url));
    assert_eq!(link.forward_query, Field::Value(false));
    assert_eq!(link.redirect_status, Field::Value(307));
    assert_eq!(link.starts_at, text("2027-01-01T00:00:00Z"));
    assert_eq!(link.expires_at, text("2027-02-01T10:00:00Z"));
    assert_eq!(link.max_clicks, Field::Value(10));
    assert_eq!(link.password, Field::Value(Password::Chosen("sesame".to_owned())));
    assert_eq!(link.tags, texts(&["spring", "mail"]));
    assert_eq!(link.og_title, Field::Absent);
    let Field::Value(rules) = link.rules else { panic!("no rules") };
    assert_eq!(rules[0].id, None, "another link's rule is another rule");
    assert_eq!(rules[0].target.destination.as_deref(), Some("https://b.example/"));
}

#[test]
fn mapping_errors_name_the_column() {
    for (column, value, said) in [
        ("archived", "maybe", "must be true or false"),
        ("Redirect Type", "moved", "must be a whole number"),
        ("redirect_status", "70000", "from 0 to 65535, not the number 70000"),
        ("max_clicks", "-1", "must be a whole number"),
        ("expires_at", "next week", "must be a date and time"),
        ("kind", "pdf", "unknown variant `pdf`"),
        ("rules", "{", "is not JSON"),
        ("rules", "7", "must be a list, not the number 7"),
        ("payload", "7", "must be an object, not the number 7"),
    ] {
        let row = row(Format::Csv, format!("slug,url,{column}\na,https://a.example/,{value}\n"));
        let refused = row.link.unwrap_err();
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(refused[0].1.contains(said), "{refused:?}");
        assert_eq!(row.slug.as_deref(), Some("a"), "{column}");
        assert_eq!(row.destination.as_deref(), Some("https://a.example/"), "{column}");
    }
    let file = "url,redirect type,archived\nhttps://a.example/,x,y\n";
    assert_eq!(refused_fields(Format::Csv, file), ["redirect_type", "archived"]);
}

#[test]
fn a_link_without_its_password_is_refused() {
    let file = "url,has_password,password\nhttps://a.example/,true,\nhttps://a.example/,true,sesame\n\
        https://a.example/,false,\nhttps://a.example/,odd,\n";
    let rows = rows(Format::Csv, file);
    let is_taken: Vec<_> = rows.iter().map(|row| row.link.is_ok()).collect();
    assert_eq!(is_taken, [false, true, true, false]);
    let file = json!({"destination": "https://a.example/", "has_password": true}).to_string();
    assert_eq!(refused_fields(Format::Ndjson, file), ["password"]);
}

#[test]
fn a_password_is_not_repeated() {
    let refused = row(Format::Ndjson, "{\"password\":[\"sesame\"]}").link.unwrap_err();
    assert_eq!(refused, [("password".to_owned(), "must be a string".to_owned())]);
}

/// A link as in `GET /links`.
fn view() -> serde_json::Value {
    let text = r#"{
        "id": "link_01kaj9m3v8e9qrs4t5v6w7x8y9", "slug": "launch", "domain": "localhost:8080",
        "short_url": "http://localhost:8080/launch", "kind": "url",
        "destination": "https://example.com/page", "payload": null, "title": null,
        "utm_source": "mail", "utm_medium": null, "utm_campaign": null, "utm_content": null,
        "utm_term": null, "forward_query": true, "forward_path": false, "redirect_status": 302,
        "canonical": false, "noindex": false, "enabled": true, "archived": false,
        "starts_at": null, "expires_at": null, "expired_url": null, "max_clicks": null,
        "max_clicks_bots": false, "has_password": false,
        "rules": [{"id": "rule_01kaj9m3v8e9qrs4t5v6w7x8y9", "conditions": [{"bot": true}],
                   "target": {"destination": "https://example.com/bots"}}],
        "ios_url": null, "ios_store_url": null, "android_url": null, "android_store_url": null,
        "preview": true, "public_stats": false, "tags": ["spring"], "folder": null,
        "campaign": null, "external_id": "7", "notes": null, "og_title": null,
        "og_description": null, "og_image": null, "og_preview": false, "clicks": 7,
        "unique_visitors": null, "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z", "version": 3
    }"#;
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_link_of_the_api_is_accepted() {
    let row = row(Format::Ndjson, format!("{}\r\n\n", view()));
    assert_eq!((row.number, row.line), (1, Some(1)));
    assert_eq!(row.host.as_deref(), Some("localhost:8080"));
    let link = row.link.unwrap();
    assert_accepted(link.clone());
    assert_eq!((link.slug, link.external_id), (text("launch"), text("7")));
    assert_eq!((link.title, link.domain), (Field::Absent, Field::Absent));
    assert_eq!(link.redirect_status, Field::Value(302));
    let Field::Value(rules) = link.rules else { panic!("no rules") };
    assert_eq!(rules[0].id, None);
}

#[test]
fn unknown_fields_are_reported() {
    let mut view = view();
    view["colour"] = json!("red");
    view["max_clicks"] = json!("many");
    view["domain"] = json!(7);
    let file = format!("{view}\n{{\"slug\":\n{{\"destination\":\"https://b.example/\"}}\n[]\n");
    let rows = rows(Format::Ndjson, file);
    let refused = |place: usize| rows[place].link.clone().unwrap_err();
    let fields: Vec<_> = refused(0).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["colour", "domain", "max_clicks"]);
    assert!(refused(1)[0].1.starts_with("is not JSON"), "{:?}", refused(1));
    assert_eq!(rows[1].line, Some(2));
    assert_eq!(rows[2].link.as_ref().unwrap().destination, text("https://b.example/"));
    assert_eq!(refused(3), [("row".to_owned(), "is not a JSON object".to_owned())]);
}

/// The slug, the host, and the fields with warnings or errors.
fn slug_of(header: &str, record: &str) -> (Option<String>, Option<String>, Vec<String>) {
    let row = row(Format::Csv, format!("{header},long_url\n{record},https://a.example/\n"));
    let fields = |remarks: Vec<(String, String)>| remarks.into_iter().map(|(name, _)| name);
    match row.link {
        Ok(_) => (row.slug, row.host, fields(row.warnings).collect()),
        Err(refused) => (None, None, fields(refused).map(|name| format!("!{name}")).collect()),
    }
}

#[test]
fn a_full_short_link_has_the_slug() {
    for (header, record, slug, host, remarks) in [
        ("short_url", "https://s.example/a", "a", "s.example", &[][..]),
        ("shortUrl", "rebrand.ly/a", "a", "rebrand.ly", &[]),
        ("Short Link", "https://s.example/a/", "a", "s.example", &[]),
        ("link", "HTTP://S.example/A", "A", "s.example", &[]),
        ("bitlink", "bit.ly/3xYz", "3xYz", "bit.ly", &[]),
        ("id", "bit.ly/3xYz", "3xYz", "bit.ly", &[]),
        ("id", "17", "", "", &[]),
        ("id", "2026/17", "", "", &[]),
        ("slug", "https://s.example/a", "a", "s.example", &[]),
        ("keyword", "/a/", "a", "", &[]),
        ("short_url", "a", "a", "", &[]),
        ("short_url", "https://s.example/a/b", "a/b", "s.example", &[]),
        ("short_url", "https://s.example/%61", "a", "s.example", &[]),
        ("short_url", "https://s.example/a?x=1", "a", "s.example", &["short_url"]),
        ("short_url", "https://s.example/", "", "", &["!short_url"]),
        ("short link", "https://s.example/?id=7", "", "", &["!short_link"]),
        ("slug,short_url", "a,https://s.example/a", "a", "s.example", &[]),
        ("slug,short_url", "b,https://s.example/a", "b", "s.example", &["slug"]),
        ("slug,short_url", ",https://s.example/a", "a", "s.example", &[]),
        ("slug,short_url", "b,https://s.example/", "b", "s.example", &[]),
        ("domain,short_url", "go.example,https://s.example/a", "a", "go.example", &[]),
        ("shortUrl,domain,slashtag", "s.example/a,s.example,a", "a", "s.example", &[]),
        ("path,shortURL", "a,https://s.example/a", "a", "s.example", &[]),
        ("slug,short_url", ",", "", "", &[]),
    ] {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let remarks = remarks.iter().map(|name| (*name).to_owned()).collect();
        let expected = (some(slug), some(host), remarks);
        assert_eq!(slug_of(header, record), expected, "{header}: {record}");
    }
    let file = json!({"destination": "https://a.example/", "short_url": "https://s.example/a"});
    assert_eq!(link(Format::Ndjson, file.to_string()).slug, text("a"));
}

/// The apostrophe before a formula is removed only in files that we wrote.
#[test]
fn cells_of_our_own_files_are_unescaped() {
    let own = "slug,title,destination,forward_path,max_clicks_bots\n\
        '-a,'=1+1,https://a.example/,,\n";
    let own = link(Format::Csv, own);
    assert_eq!((own.slug, own.title), (text("-a"), text("=1+1")));
    let other = link(Format::Csv, "slug,title,destination\na,'=1+1,https://a.example/\n");
    assert_eq!(other.title, text("'=1+1"));
}

#[test]
fn long_and_multiline_titles_are_adjusted_with_a_warning() {
    let long = "x".repeat(300);
    let file = format!(
        "title,destination\n\"two\r\nlines\",https://a.example/\n{long},https://b.example/\n"
    );
    let rows = rows(Format::Csv, file);
    let titles: Vec<_> = rows.iter().map(|row| row.link.clone().unwrap().title).collect();
    assert_eq!(titles, [text("two lines"), text(&long[..200])]);
    assert!(rows.iter().all(|row| row.warnings.len() == 1), "{rows:?}");
}
