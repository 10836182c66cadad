//! YOURLS' files.

use serde_json::json;

use super::*;

#[test]
fn the_plugins_exports() {
    let file = "keyword,url,title,timestamp,ip,clicks\n\
        spring,https://acme.example/,\"Spring, at last\",2024-03-01 10:00:00,192.0.2.1,7\n";
    let found = row(Format::Yourls, file);
    assert!(!format!("{found:?}").contains("192.0.2.1"), "nobody's address is kept");
    let link = found.link.unwrap();
    assert_eq!((link.slug, link.title), (text("spring"), text("Spring, at last")));
    let other = row(Format::Yourls, "source,target,hits\r\n/spring/,https://acme.example/,7\r\n");
    assert_eq!(other.slug.as_deref(), Some("spring"));
    assert_eq!(other.destination.as_deref(), Some("https://acme.example/"));
}

#[test]
fn the_api_response() {
    let link = |place: u8| {
        json!({"shorturl": format!("https://s.example/go/k{place}"), "url": "https://acme.example/",
               "title": "A", "timestamp": "2024-03-01 10:00:00", "ip": "192.0.2.1", "clicks": "7"})
    };
    let mut links = Vec::new();
    for place in [1, 2, 10] {
        links.push(format!("\"link_{place}\":{}", link(place)));
    }
    let file = format!("{{\"links\":{{{}}},\"stats\":{{}}}}", links.join(","));
    let rows = rows(Format::Yourls, file);
    let slugs: Vec<_> = rows.iter().map(|row| row.slug.as_deref().unwrap()).collect();
    assert_eq!(slugs, ["k1", "k2", "k10"], "in the file's order");
    assert_eq!(rows[0].host.as_deref(), Some("s.example"));
    assert!(!format!("{rows:?}").contains("192.0.2.1"));
}

#[test]
fn a_dump_of_the_database() {
    let rows = rows(Format::Yourls, include_str!("yourls.sql"));
    let found: Vec<_> = rows
        .iter()
        .map(|row| (row.slug.as_deref(), row.destination.as_deref(), row.line))
        .collect();
    assert_eq!(
        found,
        [
            (Some("spring"), Some("https://acme.example/?a=1&b=(2),;"), Some(20)),
            (Some("quote"), Some("https://acme.example/it's"), Some(21)),
            (None, None, Some(22)),
            (Some("other"), Some("https://acme.example/other"), Some(25)),
        ]
    );
    let title = |place: usize| rows[place].link.as_ref().unwrap().title.clone();
    assert_eq!(title(0), text("It's \"spring\" \\ at last -- 'no' comment"));
    assert_eq!(title(1), Field::Absent);
    let refused = rows[2].link.clone().unwrap_err();
    assert_eq!(refused[0].1, "has 2 values where the table has 6 columns");
    assert!(!format!("{rows:?}").contains("192.0.2.1"));
}
