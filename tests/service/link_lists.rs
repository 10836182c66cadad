//! Lists of links: by page and by cursor, newest first.

use serde_json::{Value, json};

use crate::harness::{Options, Server};

fn links(count: usize) -> (Server, Vec<String>) {
    let server = Options::links_only().start();
    let mut ids: Vec<_> = (0..count).map(|_| server.link().id).collect();
    ids.reverse();
    (server, ids)
}

fn ids(list: &Value) -> Vec<String> {
    let rows = list["data"].as_array().unwrap();
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// Pages begin at 1 and hold 20 links, if not said otherwise; `meta` tells where one stands.
#[test]
fn links_are_listed_by_page_newest_first() {
    let (server, newest_first) = links(25);
    let list = |query: &str| server.api().get(&format!("/links{query}")).expect(200).json();

    let first = list("");
    assert_eq!(ids(&first), newest_first[..20]);
    assert_eq!((&first["meta"]["page"], &first["meta"]["limit"]), (&json!(1), &json!(20)));
    assert_eq!(first["meta"]["total"], 25);
    assert!(first["meta"]["next_cursor"].is_string());
    assert_eq!(ids(&list("?page=1")), newest_first[..20]);

    let second = list("?page=2");
    assert_eq!(ids(&second), newest_first[20..]);
    assert_eq!(second["meta"]["page"], 2);
    assert_eq!(second["meta"]["next_cursor"], Value::Null);

    assert_eq!(ids(&list("?page=3&limit=4")), newest_first[8..12]);
    assert_eq!(ids(&list("?limit=100")), newest_first);
    let beyond = list("?page=9");
    assert_eq!((ids(&beyond).len(), &beyond["meta"]["total"]), (0, &json!(25)));
}

/// A cursor goes on where the answer before ended, whatever was made or deleted meanwhile.
#[test]
fn links_are_listed_by_cursor_also_while_they_change() {
    let (server, newest_first) = links(9);
    let mut seen = Vec::new();
    let mut query = "?limit=4".to_owned();
    loop {
        let list = server.api().get(&format!("/links{query}")).expect(200).json();
        seen.extend(ids(&list));
        let Some(cursor) = list["meta"]["next_cursor"].as_str() else { break };
        query = format!("?limit=4&cursor={cursor}");
        server.link();
        server.api().delete(&format!("/links/{}", seen[0])).expect(204);
        seen.remove(0);
    }
    assert_eq!(seen, newest_first[2..]);
}

/// A list that has an end exactly at its limit has no next part.
#[test]
fn a_list_that_is_just_full_has_no_cursor() {
    let (server, newest_first) = links(4);
    let list = server.api().get("/links?limit=4").expect(200).json();
    assert_eq!(ids(&list), newest_first);
    assert_eq!(list["meta"]["next_cursor"], Value::Null);
    assert_eq!(list["meta"]["total"], 4);
}

#[test]
fn an_empty_list_is_a_list() {
    let server = Options::links_only().start();
    let list = server.api().get("/links").expect(200).json();
    assert_eq!(list["data"], json!([]));
    let meta = json!({ "page": 1, "limit": 20, "total": 0, "next_cursor": null });
    assert_eq!(list["meta"], meta);
}
