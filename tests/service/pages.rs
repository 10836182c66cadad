//! The pages for visitors: landing pages, previews and blocked visits.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Link, Server, shared};

#[track_caller]
fn page(server: &Server, path: &str, status: u16) -> Answer {
    let answer = server.visit_path(path).header("accept", "text/html").send().expect(status);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("cache-control"), "private, no-store");
    let policy = answer.header("content-security-policy");
    for part in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'"] {
        assert!(policy.contains(part), "{policy}");
    }
    answer
}

fn create(server: &Server, body: &Value) -> Link {
    server.api().create(body)
}

#[test]
fn a_network_a_card_and_a_text_have_pages() {
    let server = shared();
    let wifi =
        json!({ "kind": "wifi", "payload": { "ssid": "Cafe <b>", "password": "cup;of tea" } });
    let wifi = create(&server, &wifi);
    let shown = page(&server, &format!("/l/{}", wifi.slug), 200);
    for part in ["Cafe &#60;b&#62;", "cup;of tea", r"WIFI:T:WPA;S:Cafe &#60;b&#62;;P:cup\;of tea;;"]
    {
        assert!(shown.text.contains(part), "{part}: {}", shown.text);
    }
    assert_eq!(shown.header("referrer-policy"), "no-referrer");

    let card = json!({ "kind": "vcard", "payload": {
        "name": "Ada King", "phone": "+44 20 7946-0000", "email": "ada@example.com",
    } });
    let card = create(&server, &card);
    let shown = page(&server, &format!("/l/{}", card.slug), 200);
    for part in [
        "<h1 dir=\"auto\">Ada King</h1>",
        "href=\"tel:+442079460000\"",
        "href=\"mailto:ada@example.com\"",
        &format!("href=\"/l/{}/card.vcf\"", card.slug),
    ] {
        assert!(shown.text.contains(part), "{part}: {}", shown.text);
    }

    let text = json!({ "kind": "text", "title": "For you", "payload": { "text": "one\ntwo" } });
    let text = create(&server, &text);
    let shown = page(&server, &format!("/l/{}", text.slug), 200);
    assert!(shown.text.contains("For you</h1>") && shown.text.contains(">one\ntwo</p>"));
}

#[test]
fn social_networks_are_shown_what_a_link_says_of_itself() {
    let server = shared();
    let body = json!({
        "destination": "https://example.com/landing", "og_title": "Spring <sale>",
        "og_description": "All of it", "og_image": "https://example.com/a.png", "og_preview": true,
    });
    let link = create(&server, &body);
    let as_reader = || server.visit(&link).agent("facebookexternalhit/1.1");
    let shown = as_reader().send().expect(200);
    for part in [
        "<meta property=\"og:title\" content=\"Spring &#60;sale&#62;\">",
        "<meta property=\"og:image\" content=\"https://example.com/a.png\">",
    ] {
        assert!(shown.text.contains(part), "{part}: {}", shown.text);
    }
    assert_eq!(server.visit(&link).follow(), "https://example.com/landing");
    server.api().patch(&link.path(), &json!({ "og_preview": false })).expect(200);
    assert_eq!(as_reader().follow(), "https://example.com/landing");
    server.await_clicks(&link, 3);
    assert_eq!(server.clicks_of(&link, "exclude"), 1);
}

#[test]
fn a_card_can_be_taken_along() {
    let server = shared();
    let link = create(&server, &json!({ "kind": "vcard", "payload": { "name": "Ada King" } }));
    let file = server.visit_path(&format!("/l/{}/card.vcf", link.slug)).send().expect(200);
    assert_eq!(file.header("content-type"), "text/vcard; charset=utf-8");
    let disposition = format!("attachment; filename=\"{}.vcf\"", link.slug);
    assert_eq!(file.header("content-disposition"), disposition);
    assert_eq!(file.header("x-content-type-options"), "nosniff");
    assert!(file.text.starts_with("BEGIN:VCARD\r\n") && file.text.contains("FN:Ada King\r\n"));
    let text = create(&server, &json!({ "kind": "text", "payload": { "text": "x" } }));
    page(&server, &format!("/l/{}/card.vcf", text.slug), 404);
}

/// The page counts; the file, the preview and the way to the page don't.
#[test]
fn seeing_a_page_is_a_click() {
    let server = shared();
    let link = create(&server, &json!({ "kind": "vcard", "payload": { "name": "Ada" } }));
    let path = format!("/l/{}", link.slug);
    for _ in 0..3 {
        page(&server, &path, 200);
    }
    let head = server.request(Method::HEAD, &path);
    Answer::to(head.header("user-agent", "Mozilla/5.0")).expect(200);
    server.visit_path(&format!("{path}/card.vcf")).send().expect(200);
    page(&server, &format!("/{}+", link.slug), 200);
    let there = server.visit_path(&format!("/{}?a=b", link.slug)).follow();
    assert_eq!(there, format!("{path}?a=b"));
    server.await_clicks(&link, 4);
    assert_eq!(server.clicks_of(&link, "exclude"), 3, "a HEAD is nobody's");
}

#[test]
fn an_address_has_no_page() {
    let server = shared();
    let link = server.link();
    let there = server.visit_path(&format!("/l/{}?a=b", link.slug)).follow();
    assert_eq!(there, format!("/{}?a=b", link.slug));
    page(&server, "/l/no-such-link", 404);
    for path in ["/l", "/l/", "/l/a/b", "/l/%ff", "/l/a%20b", "/l/..", "/no-such-link+", "/+"] {
        assert_eq!(server.visit_path(path).send().status, 404, "{path}");
    }
    let json = server.visit_path("/l/no-such-link").header("accept", "application/json").send();
    json.problem(404, "NOT_FOUND");
}

#[test]
fn a_closed_link_says_why() {
    let server = shared();
    let text = |wish: &Value| {
        let mut body = json!({ "kind": "text", "payload": { "text": "secret" } });
        body.as_object_mut().unwrap().extend(wish.as_object().unwrap().clone());
        let link = create(&server, &body);
        format!("/l/{}", link.slug)
    };
    for (wish, status, said) in [
        (json!({ "enabled": false }), 404, "switched off"),
        (json!({ "archived": true }), 410, "no longer in use"),
        (json!({ "starts_at": "2099-05-06T07:08:00Z" }), 404, "6 May 2099, 07:08 UTC"),
    ] {
        let closed = page(&server, &text(&wish), status);
        assert!(closed.text.contains(said) && !closed.text.contains("secret"), "{}", closed.text);
        if said.contains("2099") {
            assert!(closed.header("retry-after").parse::<u64>().unwrap() > 86_400);
        }
    }
    // The way there is closed as well.
    let path = text(&json!({ "enabled": false }));
    page(&server, &path.replace("/l/", "/"), 404);
}

#[test]
fn an_expired_link_leads_elsewhere_or_says_so() {
    let server = shared();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1_500);
    let body =
        json!({ "kind": "text", "payload": { "text": "x" }, "expires_at": soon.to_string() });
    let mut elsewhere = body.clone();
    elsewhere["expired_url"] = json!("https://example.com/over");
    let (link, elsewhere) = (create(&server, &body), create(&server, &elsewhere));
    crate::harness::eventually("the link has expired", || {
        let answer = server.visit_path(&format!("/l/{}", link.slug)).send();
        (answer.status == 410).then(|| assert!(answer.text.contains("has expired")))
    });
    let path = format!("/l/{}", elsewhere.slug);
    assert_eq!(server.visit_path(&path).follow(), "https://example.com/over");
}

#[test]
fn a_preview_shows_where_a_link_leads() {
    let server = shared();
    let link = create(
        &server,
        &json!({
            "destination": "https://www.example.com/\u{202e}a?b=<c>", "title": "A & B",
            "utm_source": "mail",
        }),
    );
    for path in [format!("/{}+", link.slug), format!("/{}%2B", link.slug)] {
        let shown = page(&server, &path, 200);
        for part in [
            "<strong>www.example.com</strong>",
            "https://www.example.com/%E2%80%AEa?b=%3Cc%3E&#38;utm_source=mail",
            "A &#38; B",
            &format!("href=\"/{}\"", link.slug),
            &format!("href=\"/l/{}/report\"", link.slug),
        ] {
            assert!(shown.text.contains(part), "{part}: {}", shown.text);
        }
        assert!(!shown.text.contains("Clicks"), "{}", shown.text);
    }
    for (wish, status) in [
        (json!({ "preview": false }), 404),
        (json!({ "preview": true, "enabled": false }), 404),
        (json!({ "enabled": true, "archived": true }), 404),
        (json!({ "archived": false, "starts_at": "2099-01-01T00:00:00Z" }), 200),
        (json!({ "starts_at": null, "password": "open sesame" }), 200),
    ] {
        server.api().patch(&link.path(), &wish).expect(200);
        page(&server, &format!("/{}+", link.slug), status);
    }
    let protected = page(&server, &format!("/{}+", link.slug), 200).text;
    assert!(protected.contains("protected with a password"), "{protected}");
    assert!(
        !protected.contains("www.example.com") && !protected.contains("A &#38; B"),
        "{protected}"
    );
    let fields = server.api().get(&link.path()).expect(200).data();
    assert_eq!((&fields["preview"], &fields["public_stats"]), (&json!(true), &json!(false)));
}

#[test]
fn a_preview_counts_in_public_where_the_owner_wants_it() {
    let server = shared();
    let wish = json!({ "destination": "https://example.com", "public_stats": true });
    let link = create(&server, &wish);
    for _ in 0..2 {
        server.visit(&link).follow();
    }
    server.await_clicks(&link, 2);
    let shown = page(&server, &format!("/{}+", link.slug), 200).text;
    assert!(shown.contains("<dt>Clicks</dt><dd>2</dd>"), "{shown}");
    assert!(shown.contains("<dt>Visitors</dt><dd>1</dd>"), "{shown}");
    server.api().patch(&link.path(), &json!({ "public_stats": false })).expect(200);
    assert!(!page(&server, &format!("/{}+", link.slug), 200).text.contains("Clicks"));
}
