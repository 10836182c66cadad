//! Links: create, read, change and delete.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Link, address_in, shared, within};

/// Every field of a link is in its answer, and the path takes its id as well as its slug.
#[test]
fn a_link_is_created_and_read_by_its_id_and_its_slug() {
    let server = shared();
    let wish = json!({
        "destination": "https://example.com/page?a=1#top",
        "slug": "Spring_Sale-2026",
        "title": "Spring sale – ünïcode",
        "utm_source": "newsletter",
        "utm_medium": "email",
        "utm_campaign": "spring",
        "utm_content": "button",
        "utm_term": "deal",
        "forward_query": false,
    });
    let answer = server.api().post("/links", &wish).expect(201);
    let made = answer.data();
    for (name, value) in wish.as_object().unwrap() {
        assert_eq!(&made[name], value, "{name}");
    }
    let id = made["id"].as_str().unwrap();
    assert!(id.starts_with("link_"), "{id}");
    assert_eq!(made["short_url"], format!("{}/Spring_Sale-2026", server.base));
    assert_eq!(made["domain"], server.base.trim_start_matches("http://"));
    assert_eq!((&made["clicks"], &made["unique_visitors"]), (&json!(0), &json!(0)));
    assert_eq!(made["version"], 1);
    assert_eq!(made["created_at"], made["updated_at"]);
    assert_eq!(answer.header("location"), format!("/api/v1/links/{id}"));

    for name in [id, "Spring_Sale-2026"] {
        assert_eq!(server.api().get(&format!("/links/{name}")).expect(200).data(), made, "{name}");
    }
    server.api().get("/links/spring_sale-2026").problem(404, "NOT_FOUND");
}

/// What is not said has its default: a generated slug, no title, no parameters, the visitor's
/// query handed on.
#[test]
fn a_link_needs_a_destination_only() {
    let server = shared();
    let made = server.api().post("/links", &json!({ "destination": "https://example.com" }));
    let made = made.expect(201).data();
    for name in ["title", "utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term"] {
        assert_eq!(made[name], Value::Null, "{name}");
    }
    assert_eq!(made["forward_query"], true);
    assert_eq!(made["destination"], "https://example.com", "as its owner wrote it");
}

/// Times are ISO 8601 in UTC, and of now.
#[test]
fn a_link_says_when_it_was_made() {
    let server = shared();
    let before = jiff::Timestamp::now();
    let made = server.api().post("/links", &json!({ "destination": "https://example.com" }));
    let made = made.expect(201).data();
    let text = made["created_at"].as_str().unwrap();
    assert!(text.ends_with('Z') && text.contains('T'), "{text}");
    let at: jiff::Timestamp = text.parse().unwrap();
    let millisecond = jiff::SignedDuration::from_millis(1);
    assert!(before - millisecond <= at && at <= jiff::Timestamp::now(), "{text}");
}

#[test]
fn a_generated_slug_has_seven_characters_that_nobody_confuses() {
    let server = shared();
    let slugs: HashSet<_> = (0..40).map(|_| server.link().slug).collect();
    assert_eq!(slugs.len(), 40);
    for slug in slugs {
        assert_eq!(slug.len(), 7, "{slug}");
        let is_clear = |letter: char| letter.is_ascii_alphanumeric() && !"0Oo1lIi".contains(letter);
        assert!(slug.chars().all(is_clear), "{slug}");
    }
}

#[test]
fn a_slug_is_taken_once() {
    let server = shared();
    let wish = json!({ "destination": "https://example.com/first", "slug": "taken-once" });
    let first = server.api().create(&wish);
    server.api().post("/links", &wish).refuses(409, "CONFLICT", &["slug"]);
    let other = server.link();
    let wish = json!({ "slug": "taken-once" });
    server.api().patch(&other.path(), &wish).refuses(409, "CONFLICT", &["slug"]);
    assert_eq!(server.visit(&first).follow(), "https://example.com/first");
    server.visit(&other).send().expect(302);
}

/// Of many concurrent requests for one slug, one gets it.
#[test]
fn of_concurrent_requests_for_a_slug_one_wins() {
    let server = shared();
    let wish = json!({ "destination": "https://example.com", "slug": "wanted-by-many" });
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asked: Vec<_> =
            (0..8).map(|_| scope.spawn(|| server.api().post("/links", &wish).status)).collect();
        asked.into_iter().map(|request| request.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 7, "{statuses:?}");
}

/// `PATCH` changes what it names and clears what is null; version and time go on.
#[test]
fn a_patch_changes_what_it_names() {
    let server = shared();
    let wish = json!({
        "destination": "https://example.com/a", "title": "Before",
        "utm_source": "mail", "utm_term": "x",
    });
    let before = server.api().post("/links", &wish).expect(201).data();
    let link = Link::of(&before);
    // The clock's own step is a millisecond: a change in the same one would not show.
    within(Duration::from_secs(1), "the next millisecond", || {
        let now = jiff::Timestamp::now().as_millisecond();
        let made: jiff::Timestamp = before["created_at"].as_str().unwrap().parse().unwrap();
        (now > made.as_millisecond() + 1).then_some(())
    });

    let change = json!({ "title": "After", "utm_term": null });
    let after = server.api().patch(&link.path(), &change).expect(200).data();
    assert_eq!((&after["title"], &after["utm_term"]), (&json!("After"), &Value::Null));
    for kept in ["id", "slug", "destination", "utm_source", "created_at", "forward_query"] {
        assert_eq!(after[kept], before[kept], "{kept}");
    }
    assert_eq!(after["version"], 2);
    assert!(after["updated_at"].as_str() > before["updated_at"].as_str());
    let mut read = server.api().get(&link.path()).expect(200).data();
    // A change waits for no analytics.
    for count in ["clicks", "unique_visitors"] {
        assert_eq!((&after[count], read[count].take()), (&Value::Null, json!(0)), "{count}");
    }
    assert_eq!(read, after);
}

/// `PUT` replaces all fields: absent ones get their defaults; the slug is kept.
#[test]
fn a_put_replaces_all_but_the_slug() {
    let server = shared();
    let wish = json!({
        "destination": "https://example.com/a", "title": "Before", "utm_source": "mail",
        "forward_query": false,
    });
    let link = server.api().create(&wish);
    let by_id = format!("/links/{}", link.id);
    let after = server.api().put(&by_id, &json!({ "destination": "https://example.com/b" }));
    let after = after.expect(200).data();
    assert_eq!(after["destination"], "https://example.com/b");
    assert_eq!((&after["title"], &after["utm_source"]), (&Value::Null, &Value::Null));
    assert_eq!(after["forward_query"], true);
    assert_eq!(after["slug"], link.slug.as_str());
    assert_eq!(after["version"], 2);
    server.api().put(&by_id, &json!({ "title": "x" })).refuses(
        400,
        "VALIDATION_ERROR",
        &["destination"],
    );
}

/// The cache in front of the index is invalidated by a change immediately.
#[test]
fn a_changed_link_redirects_to_its_new_destination_at_once() {
    let server = shared();
    let link = server.link_to("https://example.com/0");
    for number in 1..50 {
        let destination = format!("https://example.com/{number}");
        server.api().patch(&link.path(), &json!({ "destination": destination })).expect(200);
        assert_eq!(server.visit(&link).follow(), destination);
    }
}

/// The same while visitors ask for the link all the time: none of them leaves behind what it
/// saw before the change.
#[test]
fn a_changed_link_redirects_anew_also_under_load() {
    let server = shared();
    let link = server.link_to("https://example.com/0");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    server.visit(&link).send().expect(302);
                }
            });
        }
        for number in 1..60 {
            let destination = format!("https://example.com/{number}");
            server.api().patch(&link.path(), &json!({ "destination": destination })).expect(200);
            assert_eq!(server.visit(&link).follow(), destination);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn a_renamed_link_answers_at_its_new_slug_only() {
    let server = shared();
    let link = server.link_to("https://example.com/moved");
    server.visit(&link).send().expect(302);
    server.api().patch(&link.path(), &json!({ "slug": "moved-here" })).expect(200);
    server.visit(&link).send().expect(404);
    assert_eq!(server.visit_path("/moved-here").follow(), "https://example.com/moved");
    server.api().get(&link.path()).problem(404, "NOT_FOUND");
    assert_eq!(server.api().get("/links/moved-here").data()["id"], link.id.as_str());
}

/// Deleted immediately, for visitors and for API clients; and the slug can be used again.
#[test]
fn a_deleted_link_is_gone_and_its_slug_is_free() {
    let server = shared();
    let link = server.link();
    server.visit(&link).send().expect(302);
    let deleted = server.api().delete(&link.path()).expect(204);
    assert_eq!(deleted.text, "");
    server.visit(&link).send().expect(404);
    for path in [link.path(), format!("/links/{}", link.id), format!("{}/clicks", link.path())] {
        server.api().get(&path).problem(404, "NOT_FOUND");
    }
    server.api().delete(&link.path()).problem(404, "NOT_FOUND");
    server.api().patch(&link.path(), &json!({ "title": "x" })).problem(404, "NOT_FOUND");

    let wish = json!({ "destination": "https://example.com/again", "slug": link.slug });
    let again = server.api().create(&wish);
    assert_ne!(again.id, link.id);
    assert_eq!(server.visit(&again).follow(), "https://example.com/again");
}

/// A link's own answer counts people, and each of them once.
#[test]
fn a_link_says_its_clicks_and_its_visitors() {
    let server = shared();
    let link = server.link();
    let (here, there) = (address_in("DE"), address_in("FR"));
    for address in [here, here, there] {
        server.visit(&link).from(address).follow();
    }
    server.visit(&link).from(here).agent(crate::harness::agents::GOOGLEBOT).follow();
    server.await_clicks(&link, 4);
    let read = server.api().get(&link.path()).expect(200).data();
    assert_eq!((&read["clicks"], &read["unique_visitors"]), (&json!(3), &json!(2)));
    let list = server.api().get("/links?limit=100").expect(200).data();
    let listed = list.as_array().unwrap().iter().find(|row| row["id"] == link.id.as_str());
    assert_eq!(listed, Some(&read));
}
