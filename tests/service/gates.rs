//! Links with gates: disabled, scheduled, limited or protected.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use reqwest::Method;

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
    for (counts_bots, bots, left) in [(false, 200, 302), (true, 302, 410)] {
        let link = link_with(&server, &json!({ "max_clicks": 1, "max_clicks_bots": counts_bots }));
        let bot = server.visit(&link).agent(GOOGLEBOT).send().expect(bots);
        assert_eq!(bot.headers.contains_key("location"), counts_bots);
        server.visit(&link).send().expect(left);
        server.visit(&link).agent(GOOGLEBOT).send().expect(410);
        server.visit(&link).send().expect(410);
    }
}

/// The address of a link with a limit goes to those alone whose visits count.
#[test]
fn uncounted_visits_do_not_learn_where_a_limited_link_leads() {
    let server = shared();
    let fields = json!({
        "max_clicks": 1, "og_preview": true, "og_title": "Spring", "canonical": true,
        "forward_path": true, "title": "secret title",
    });
    let link = link_with(&server, &fields);
    let hides = |answer: Answer, status| {
        let answer = answer.expect(status);
        for name in ["location", "link"] {
            assert!(!answer.headers.contains_key(name), "{answer:?}");
        }
        assert!(!answer.text.contains("example.com/landing"), "{answer:?}");
        answer
    };
    let reader = || server.visit(&link).agent("facebookexternalhit/1.1").send();
    let below = || server.visit_path(&format!("/{}/x", link.slug));
    hides(server.visit_head(&link).send(), 200);
    hides(server.visit(&link).agent(GOOGLEBOT).send(), 200);
    hides(below().agent(GOOGLEBOT).send(), 200);
    // No browser keeps this one for the visitor who follows the link.
    hides(server.visit(&link).header("sec-purpose", "prefetch").send(), 503);
    assert!(hides(reader(), 200).text.contains("og:title\" content=\"Spring\""));
    let preview = || server.visit_path(&format!("/{}+", link.slug)).send();
    let shown = hides(preview(), 200);
    assert!(
        shown.text.contains("limited number of visits") && !shown.text.contains("secret title")
    );
    assert_eq!(server.visit(&link).follow(), DESTINATION);
    hides(reader(), 410);
    hides(below().send(), 410);
    assert!(hides(preview(), 200).text.contains("used up"));
}

#[test]
fn the_content_of_a_limited_page_is_for_counted_visits() {
    let server = shared();
    let page = |payload: &Value, kind: &str, max: u64| {
        let body = json!({ "kind": kind, "payload": payload, "max_clicks": max });
        format!("/l/{}", server.api().create(&body).slug)
    };
    let get = |path: &str, agent: &str| server.visit_path(path).agent(agent).send();
    let text = page(&json!({ "text": "treasure" }), "text", 1);
    let bot = get(&text, GOOGLEBOT).expect(200);
    assert!(!bot.text.contains("treasure"), "{bot:?}");
    assert!(get(&text, CHROME_ON_WINDOWS).expect(200).text.contains("treasure"));
    get(&text, GOOGLEBOT).expect(410);

    let card = page(&json!({ "name": "Ada King" }), "vcard", 2);
    let file = format!("{card}/card.vcf");
    assert!(!get(&file, GOOGLEBOT).expect(200).text.contains("Ada"));
    let head = server.request(Method::HEAD, &file).header("user-agent", CHROME_ON_WINDOWS);
    assert!(!Answer::to(head).expect(200).headers.contains_key("content-disposition"));
    get(&file, CHROME_ON_WINDOWS).expect(200);
    let shown = get(&card, CHROME_ON_WINDOWS).expect(200);
    for path in [&card, &file, &format!("{file}?permit="), &format!("{file}?permit=0")] {
        get(path, CHROME_ON_WINDOWS).expect(410);
    }
    // Who has seen the page may take the card along.
    let permitted = shown.text.split("href=\"").find(|part| part.contains("card.vcf?permit="));
    let permitted = permitted.unwrap().split('"').next().unwrap();
    assert!(get(permitted, CHROME_ON_WINDOWS).expect(200).text.contains("FN:Ada King"));
    let slug = card.trim_start_matches("/l/");
    server.api().patch(&format!("/links/{slug}"), &json!({ "title": "other" })).expect(200);
    get(permitted, CHROME_ON_WINDOWS).expect(410);
}

/// A preview reveals no more than a visit would.
#[test]
fn a_preview_of_a_link_that_is_not_open_shows_no_address() {
    let server = shared();
    let link = link_with(&server, &json!({ "title": "secret title" }));
    let preview = || server.visit_path(&format!("/{}+", link.slug)).send();
    assert!(preview().expect(200).text.contains(DESTINATION));
    let hides = |page: &Answer| {
        assert!(!page.text.contains("example.com/landing"), "{page:?}");
        assert!(!page.text.contains("secret title"), "{page:?}");
    };
    for (mut change, status, words) in [
        (json!({ "starts_at": in_seconds(3_600) }), 200, "not open"),
        (json!({ "starts_at": null, "password": "open sesame" }), 200, "password"),
        (json!({ "password": null, "max_clicks": 5 }), 200, "limited number of visits"),
        (json!({ "max_clicks": null, "enabled": false }), 404, "No such link"),
        (json!({ "enabled": true, "archived": true }), 404, "No such link"),
        (json!({ "archived": false, "expires_at": "soon" }), 200, "expired"),
    ] {
        // Counted from now: the changes before it take a while.
        if change["expires_at"] == "soon" {
            change["expires_at"] = in_seconds(2).into();
        }
        server.api().patch(&link.path(), &change).expect(200);
        let page = eventually("the gate is closed", || {
            let page = preview().expect(status);
            page.text.contains(words).then_some(page)
        });
        hides(&page);
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
    let form = crate::passwords::Form::of(&page);
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
