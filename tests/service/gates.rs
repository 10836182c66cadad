//! Links that do not answer everybody, at any time, for ever.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::harness::agents::{CHROME_ON_WINDOWS, GOOGLEBOT};
use crate::harness::{Answer, Link, Options, Server, eventually, shared};

const DESTINATION: &str = "https://example.com/landing";

fn link_with(server: &Server, more: &Value) -> Link {
    let mut body = json!({ "destination": DESTINATION });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    server.api().create(&body)
}

fn in_seconds(seconds: i64) -> String {
    (Timestamp::now() + SignedDuration::from_secs(seconds)).to_string()
}

/// Visits of humans that were stopped, by reason.
#[track_caller]
fn blocked(server: &Server, link: &Link) -> BTreeMap<String, u64> {
    server.await_projection();
    let data = server.api().get(&format!("{}/blocked", link.path())).expect(200).data();
    let reasons = data["reasons"].as_array().unwrap().iter();
    let reasons: BTreeMap<_, _> = reasons
        .map(|one| (one["reason"].as_str().unwrap().to_owned(), one["visits"].as_u64().unwrap()))
        .collect();
    assert_eq!(data["visits"], reasons.values().sum::<u64>());
    reasons
}

#[test]
fn a_link_answers_while_its_owner_lets_it() {
    let server = shared();
    let link = link_with(&server, &json!({}));
    for (change, status) in [
        (json!({ "enabled": false }), 404),
        (json!({ "enabled": true }), 302),
        (json!({ "archived": true }), 410),
        (json!({ "archived": false }), 302),
        (json!({ "starts_at": in_seconds(3_600) }), 404),
        (json!({ "starts_at": null }), 302),
    ] {
        server.api().patch(&link.path(), &change).expect(200);
        let answer = server.visit(&link).send();
        assert_eq!(answer.status, status, "{change}: {answer:?}");
        assert_eq!(answer.headers.contains_key("location"), status == 302);
    }
    server.await_clicks(&link, 3);
    let stopped = [("archived", 1), ("disabled", 1), ("not_started", 1)];
    assert_eq!(blocked(&server, &link), stopped.map(|(why, n)| (why.to_owned(), n)).into());
}

#[test]
fn what_has_expired_leads_where_its_owner_says() {
    let server = shared();
    let late = "https://example.com/late";
    let link = link_with(&server, &json!({ "expires_at": in_seconds(1), "expired_url": late }));
    eventually("the link expires", || {
        let answer = server.visit(&link).send().expect(302);
        (answer.header("location") == late).then_some(())
    });
    server.api().patch(&link.path(), &json!({ "expired_url": null })).expect(200);
    server.visit(&link).send().expect(410);
    assert_eq!(blocked(&server, &link), [("expired".to_owned(), 2)].into());
    server.api().patch(&link.path(), &json!({ "expires_at": in_seconds(3_600) })).expect(200);
    assert_eq!(server.visit(&link).follow(), DESTINATION);
}

#[test]
fn exactly_so_many_clicks_go_through_whoever_asks_at_once_and_whatever_dies() {
    const LIMIT: u64 = 150;
    let options = Options::links_only();
    let mut server = options.start();
    let link = link_with(&server, &json!({ "max_clicks": LIMIT }));
    let through = AtomicU64::new(0);
    for round in 0..3 {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let answer = server.visit(&link).send();
                        assert!(matches!(answer.status, 302 | 410), "{answer:?}");
                        through.fetch_add(u64::from(answer.status == 302), Ordering::Relaxed);
                    }
                });
            }
        });
        // A kill, and then a start that has nothing but the log.
        drop(server);
        if round == 1 {
            // It is written now and then, and in a stop in order.
            let _absent = std::fs::remove_file(options.data.path().join("limits"));
        }
        server = options.start();
    }
    assert_eq!(through.into_inner(), LIMIT);
    drop(server);
    let clicks = options.data.logged_clicks_of(&link);
    let numbers: Vec<_> =
        clicks.iter().map(|click| click["limited_nth"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=LIMIT).collect::<Vec<_>>());
    let blocked = options.data.dump("clicks").into_iter();
    let blocked = blocked.filter(|one| one["kind"] == "Blocked" && one["block"] == "limit_reached");
    assert_eq!(blocked.count(), 240 - 150);
}

#[test]
fn bots_use_up_a_limit_only_where_they_are_to() {
    let server = shared();
    for (counts_bots, left) in [(false, 302), (true, 410)] {
        let link = link_with(&server, &json!({ "max_clicks": 1, "max_clicks_bots": counts_bots }));
        server.visit(&link).agent(GOOGLEBOT).send().expect(302);
        server.visit(&link).send().expect(left);
        server.visit(&link).agent(GOOGLEBOT).send().expect(410);
        server.visit(&link).send().expect(410);
    }
}

#[test]
fn a_larger_limit_counts_on_and_one_that_is_set_anew_counts_anew() {
    let server = shared();
    let link = link_with(&server, &json!({ "max_clicks": 1 }));
    let set = |max: &Value| {
        server.api().patch(&link.path(), &json!({ "max_clicks": max })).expect(200);
    };
    let visit = |status| drop(server.visit(&link).send().expect(status));
    visit(302);
    visit(410);
    set(&json!(2));
    visit(302);
    visit(410);
    set(&Value::Null);
    visit(302);
    set(&json!(1));
    visit(302);
    visit(410);
}

#[test]
fn a_password_stands_before_a_redirect_too() {
    let server = shared();
    let link = link_with(&server, &json!({ "password": "open sesame" }));
    let shown = server.api().get(&link.path()).expect(200);
    assert_eq!(shown.data()["has_password"], true);
    assert!(!shown.text.contains("argon2") && !shown.text.contains("sesame"));
    let page = server.visit(&link).send().expect(401);
    assert!(page.text.contains("type=\"password\""), "{page:?}");
    let form = crate::unlocking::Form::of(&page);
    let unlock = |password| {
        let path = format!("/l/{}/unlock", link.slug);
        let sent = form.send(&server, &path, &[("password", password)]);
        Answer::to(sent.header("user-agent", CHROME_ON_WINDOWS))
    };
    unlock("open barley").expect(401);
    let cookie = unlock("open sesame").expect(200);
    let cookie = cookie.header("set-cookie").split(';').next().unwrap().to_owned();
    let with_cookie = || server.visit(&link).header("cookie", &cookie).send();
    assert_eq!(with_cookie().expect(302).header("location"), DESTINATION);
    server.api().patch(&link.path(), &json!({ "title": "changed" })).expect(200);
    with_cookie().expect(401);
    server.await_clicks(&link, 1);
    let stopped = [("password_required", 2), ("password_wrong", 1)];
    assert_eq!(blocked(&server, &link), stopped.map(|(why, n)| (why.to_owned(), n)).into());
}

#[test]
fn what_can_not_be_a_gate_is_refused_by_its_field() {
    let server = shared();
    for (body, field) in [
        (json!({ "expires_at": "2020-01-01T00:00:00Z" }), "expires_at"),
        (json!({ "starts_at": "tomorrow" }), "starts_at"),
        (json!({ "starts_at": in_seconds(20), "expires_at": in_seconds(10) }), "expires_at"),
        (json!({ "max_clicks": 0 }), "max_clicks"),
        (json!({ "max_clicks": -1 }), "max_clicks"),
        (json!({ "expired_url": "javascript:alert(1)" }), "expired_url"),
        (json!({ "expired_url": format!("{}/x", server.base) }), "expired_url"),
        (json!({ "password": "abc" }), "password"),
        (json!({ "redirect_status": 200 }), "redirect_status"),
        (json!({ "kind": "wifi" }), "kind"),
    ] {
        let mut whole = json!({ "destination": DESTINATION });
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let answer = server.api().post("/links", &whole);
        if field == "kind" {
            answer.refuses(400, "VALIDATION_ERROR", &["destination", "payload"]);
        } else {
            answer.refuses(400, "VALIDATION_ERROR", &[field]);
        }
    }
}
