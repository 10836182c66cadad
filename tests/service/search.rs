//! Searching links: each condition and order, by page and by cursor.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::harness::{Options, Server, eventually, shared};

/// The slugs of a list, in its order.
fn slugs(list: &Value) -> Vec<String> {
    let rows = list["data"].as_array().unwrap();
    rows.iter().map(|row| row["slug"].as_str().unwrap().to_owned()).collect()
}

fn list(server: &Server, query: &str) -> Value {
    server.api().get(&format!("/links{query}")).expect(200).json()
}

/// What a query finds, which its own total and the count with the same conditions have to agree
/// with.
#[track_caller]
fn finds(server: &Server, query: &str, expected: &[&str]) {
    let found = list(server, &format!("?limit=100&{query}"));
    assert_eq!(slugs(&found), expected, "{query}");
    assert_eq!(found["meta"]["total"], expected.len(), "{query}");
    let count = server.api().get(&format!("/links/count?{query}")).expect(200).data();
    assert_eq!(count["links"], expected.len(), "{query}");
}

#[allow(clippy::needless_pass_by_value, reason = "it reads better where it is called")]
fn make(server: &Server, slug: &str, fields: Value) -> Value {
    let mut body = json!({ "slug": slug, "destination": "https://example.com/landing" });
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    server.api().post("/links", &body).expect(201).data()
}

#[test]
fn each_condition_finds_what_it_says() {
    let server = Options::links_only().start();
    let campaign = server.api().post("/campaigns", &json!({ "name": "C" })).expect(201).data();
    let campaign = campaign["id"].as_str().unwrap();
    let first = make(
        &server,
        "shoes",
        json!({
            "destination": "https://shop.example.com/Schuhe?size=42", "title": "Frühling ÄRA",
            "tags": ["Spring", "mail"], "folder": "clients/acme", "notes": "ask Ada\nfirst",
            "campaign": campaign, "external_id": "sku/1",
        }),
    );
    let text = json!({ "kind": "text", "destination": null, "payload": { "text": "hi" } });
    make(&server, "words", text);
    let second = make(
        &server,
        "locked",
        json!({
            "password": "open sesame", "tags": ["spring"], "folder": "clients",
        }),
    );
    make(&server, "off", json!({ "enabled": false, "folder": "clientsx" }));
    make(&server, "old", json!({ "archived": true, "tags": ["SPRING"], "campaign": campaign }));
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3_600);
    make(&server, "ends", json!({ "expires_at": soon.to_string() }));

    finds(&server, "", &["ends", "off", "locked", "words", "shoes"]);
    finds(&server, "archived=false", &["ends", "off", "locked", "words", "shoes"]);
    finds(&server, "archived=true", &["old"]);
    finds(&server, "archived=any", &["ends", "old", "off", "locked", "words", "shoes"]);
    for q in ["SHO", "schuhe", "fr%C3%BChling+%C3%A4ra", "ada+42", "Mail", "first+sho", "size%3D"] {
        finds(&server, &format!("q={q}"), &["shoes"]);
    }
    let base = format!("http://{}", server.address());
    finds(&server, &format!("q={base}/shoes?utm_source=x"), &["shoes"]);
    finds(&server, "q=https://elsewhere.example/shoes", &[]);
    finds(&server, "q=spring", &["locked", "shoes"]);
    finds(&server, "q=spring&archived=any", &["old", "locked", "shoes"]);
    finds(&server, "q=spring+nothing", &[]);
    finds(&server, "q=s.oes", &[]);
    finds(&server, "tag=sprinG", &["locked", "shoes"]);
    finds(&server, "tag=spring,mail", &["shoes"]);
    finds(&server, "tag=spring&tag=mail", &["shoes"]);
    finds(&server, "tag=spring&archived=any", &["old", "locked", "shoes"]);
    finds(&server, "tag=spr", &[]);
    finds(&server, "folder=clients", &["locked", "shoes"]);
    finds(&server, "folder=clients/acme&archived=any", &["shoes"]);
    finds(&server, "folder=client", &[]);
    finds(&server, &format!("campaign={campaign}"), &["shoes"]);
    finds(&server, &format!("campaign={campaign}&archived=any"), &["old", "shoes"]);
    finds(&server, &format!("campaign={campaign}&archived=true&tag=spring"), &["old"]);
    finds(&server, "external_id=sku/1", &["shoes"]);
    finds(&server, "external_id=sku/1&archived=any", &["shoes"]);
    finds(&server, "external_id=sku/1&tag=none", &[]);
    finds(&server, "external_id=sku", &[]);
    finds(&server, "has_password=true", &["locked"]);
    finds(&server, "has_password=false&enabled=false", &["off"]);
    finds(&server, "enabled=true&kind=text", &["words"]);
    finds(&server, "kind=url&q=landing&archived=any", &["ends", "old", "off", "locked"]);
    finds(&server, "expired=true", &[]);
    finds(&server, "expired=false&q=ends", &["ends"]);
    let host = server.base.trim_start_matches("http://");
    finds(&server, &format!("domain={host}&q=o+shop"), &["shoes"]);
    finds(&server, "domain=elsewhere.example", &[]);
    let from = second["created_at"].as_str().unwrap();
    finds(&server, &format!("created_from={from}"), &["ends", "off", "locked"]);
    finds(&server, &format!("created_until={}", first["created_at"].as_str().unwrap()), &[]);
    finds(&server, &format!("created_until={from}"), &["words", "shoes"]);
}

/// An `expires_at` that has come is seen at once, without a change of the link.
#[test]
fn a_link_is_found_as_expired_once_it_is() {
    let server = Options::links_only().start();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(700);
    make(&server, "ends", json!({ "expires_at": soon.to_string() }));
    let found = eventually("it has expired", || {
        Some(slugs(&list(&server, "?expired=true"))).filter(|found| !found.is_empty())
    });
    assert_eq!(found, ["ends"]);
    assert!(jiff::Timestamp::now() >= soon);
}

#[test]
fn links_come_in_each_order() {
    let server = Options::links_only().start();
    make(&server, "b", json!({ "title": "Zebra" }));
    make(&server, "C", json!({}));
    make(&server, "a", json!({ "title": "apple" }));
    server.api().patch("/links/C", &json!({ "notes": "later" })).expect(200);
    for (query, expected) in [
        ("?sort=created", ["a", "C", "b"]),
        ("?order=asc", ["b", "C", "a"]),
        ("?sort=updated", ["C", "a", "b"]),
        ("?sort=updated&order=asc", ["b", "a", "C"]),
        ("?sort=slug", ["a", "b", "C"]),
        ("?sort=slug&order=desc", ["C", "b", "a"]),
        ("?sort=title", ["C", "a", "b"]),
        ("?sort=title&order=desc", ["b", "a", "C"]),
    ] {
        assert_eq!(slugs(&list(&server, query)), expected, "{query}");
        // And so link by link.
        let mut found = Vec::new();
        let mut next = format!("{query}&limit=1");
        loop {
            let page = list(&server, &next);
            found.extend(slugs(&page));
            let Some(cursor) = page["meta"]["next_cursor"].as_str() else { break };
            assert!(found.len() < 3);
            next = format!("{query}&limit=1&cursor={cursor}");
        }
        assert_eq!(found, expected, "{query}");
        let second = list(&server, &format!("{query}&limit=1&page=2"));
        assert_eq!(slugs(&second), expected[1..2], "{query}");
        assert_eq!(second["meta"]["total"], 3);
    }
}

#[test]
fn bad_parameters_are_named() {
    let server = Options::links_only().start();
    server.link();
    server.link();
    let cursor = list(&server, "?sort=slug&limit=1");
    let cursor = cursor["meta"]["next_cursor"].as_str().unwrap();
    for (query, fields) in [
        ("q=", vec!["q"]),
        ("q=a+b+c+d+e+f+g+h+i+j+k", vec!["q"]),
        ("tag=", vec!["tag"]),
        ("tag=a,,b", vec!["tag"]),
        ("folder=a//b", vec!["folder"]),
        ("campaign=spring", vec!["campaign"]),
        ("created_from=yesterday&created_until=1", vec!["created_from", "created_until"]),
        ("has_password=1&expired=no&enabled=TRUE", vec!["enabled", "expired", "has_password"]),
        ("archived=all&kind=pdf", vec!["archived", "kind"]),
        ("sort=size&order=down&total=x", vec!["order", "sort", "total"]),
        ("q=a&q=b", vec!["q"]),
        ("colour=red", vec!["colour"]),
        ("sort=slug&page=101&limit=100", vec!["page"]),
        ("cursor=nonsense", vec!["cursor"]),
        (&format!("cursor={cursor}"), vec!["cursor"]),
        (&format!("sort=title&cursor={cursor}"), vec!["cursor"]),
        (&format!("sort=slug&page=1&cursor={cursor}"), vec!["cursor"]),
    ] {
        let answer = server.api().get(&format!("/links?{query}"));
        answer.refuses(400, "VALIDATION_ERROR", &fields);
    }
    assert_eq!(slugs(&list(&server, &format!("?sort=slug&cursor={cursor}"))).len(), 1);
    let count = server.api().get("/links/count?page=1&sort=slug");
    count.refuses(400, "VALIDATION_ERROR", &["page", "sort"]);
}

/// Whoever follows cursors sees each link that was there from the start, once, whatever is made
/// meanwhile.
#[test]
fn cursors_are_stable_while_links_are_made() {
    let server = Options::links_only().start();
    let there: BTreeSet<String> = (0..60)
        .map(|number| {
            let slug = format!("s{:02}-{}", number * 37 % 60, number);
            let title = json!({ "title": format!("T{:02}", number * 13 % 20), "tags": ["x"] });
            make(&server, &slug, title);
            slug
        })
        .collect();
    // Two links are made for each page of seven that is read: whoever reads comes to an end.
    let (is_done, pages_read) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !is_done.load(Ordering::SeqCst) {
                if number > pages_read.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                    continue;
                }
                let title = json!({ "title": format!("T{:02}", number % 20), "tags": ["x"] });
                make(&server, &format!("new-{number}"), title.clone());
                make(&server, &format!("s{:02}-new-{number}", number % 60), title);
                number += 1;
            }
        });
        for sort in ["created", "updated", "slug", "title"] {
            for (order, rest) in [("asc", ""), ("desc", ""), ("asc", "&tag=x"), ("desc", "&q=t")] {
                let query = format!("?sort={sort}&order={order}&limit=7{rest}");
                let (mut seen, mut pages) = (Vec::new(), 0);
                let mut next = query.clone();
                loop {
                    let page = list(&server, &next);
                    pages_read.fetch_add(1, Ordering::SeqCst);
                    seen.extend(slugs(&page));
                    pages += 1;
                    let Some(cursor) = page["meta"]["next_cursor"].as_str() else { break };
                    // What is made meanwhile comes last in the orders of time; that has no end.
                    if there.iter().all(|slug| seen.contains(slug)) {
                        break;
                    }
                    next = format!("{query}&cursor={cursor}");
                }
                let once: BTreeSet<_> = seen.iter().cloned().collect();
                assert_eq!(once.len(), seen.len(), "{query}: a link came twice");
                assert!(there.is_subset(&once), "{query}: a link was not seen in {pages} pages");
            }
        }
        is_done.store(true, Ordering::SeqCst);
    });
}

/// Totals are those of the filter; a list that is followed by cursor counts only what is known
/// without a look at each link.
#[test]
fn totals_are_those_of_the_filter() {
    let server = Options::links_only().start();
    for number in 0..9 {
        let fields = json!({ "title": format!("Title {number}"), "archived": number == 0 });
        make(&server, &format!("l{number}"), fields);
    }
    let total = |query: &str| list(&server, query)["meta"]["total"].clone();
    assert_eq!(total("?limit=2"), 8);
    assert_eq!(total("?limit=2&q=title"), 8);
    assert_eq!(total("?limit=2&q=title&page=3"), 8);
    assert_eq!(total("?limit=2&q=title&total=false"), Value::Null);
    assert_eq!(total("?limit=2&archived=any"), 9);
    for (query, expected) in [("", json!(8)), ("&q=title", Value::Null), ("&sort=slug", json!(8))] {
        let first = list(&server, &format!("?limit=2{query}"));
        let cursor = first["meta"]["next_cursor"].as_str().unwrap();
        let second = list(&server, &format!("?limit=2{query}&cursor={cursor}"));
        assert_eq!(second["meta"]["total"], expected, "{query}");
        assert_eq!(slugs(&second).len(), 2);
    }
}

#[test]
fn links_come_by_their_clicks() {
    let server = shared();
    let tag = format!("clicked-{}", server.link().slug);
    let links: Vec<_> = (0..4)
        .map(|_| {
            let body = json!({ "destination": "https://example.com", "tags": [tag] });
            server.api().create(&body)
        })
        .collect();
    for (link, clicks) in links.iter().zip([1, 3, 0, 2]) {
        for _ in 0..clicks {
            server.visit(link).follow();
        }
    }
    server.await_projection();
    let order = |places: [usize; 4]| places.map(|place| links[place].slug.clone());
    let query = format!("?tag={tag}&sort=clicks");
    let found = list(&server, &query);
    assert_eq!(slugs(&found), order([1, 3, 0, 2]));
    let clicks = found["data"].as_array().unwrap().iter().map(|link| link["clicks"].clone());
    assert_eq!(clicks.collect::<Vec<_>>(), [json!(3), json!(2), json!(1), json!(0)]);
    assert_eq!(slugs(&list(&server, &format!("{query}&order=asc"))), order([2, 0, 3, 1]));

    // A list that goes on counts what the one before counted.
    let first = list(&server, &format!("{query}&limit=2"));
    let cursor = first["meta"]["next_cursor"].as_str().unwrap();
    for _ in 0..5 {
        server.visit(&links[2]).follow();
    }
    server.await_projection();
    let second = list(&server, &format!("{query}&limit=2&cursor={cursor}"));
    assert_eq!(slugs(&second), order([1, 3, 0, 2])[2..]);
    assert_eq!(slugs(&list(&server, &query)), order([2, 1, 3, 0]));
}

#[test]
fn an_order_by_clicks_needs_analytics() {
    let server = Options::links_only().start();
    server.link();
    server.api().get("/links?sort=clicks").problem(503, "ANALYTICS_UNAVAILABLE");
    server.api().get("/links?sort=slug").expect(200);
}
