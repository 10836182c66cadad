//! Routing rules and apps.

use serde_json::{Value, json};

use crate::harness::agents::{CHROME_ON_WINDOWS, GOOGLEBOT, SAFARI_ON_IPHONE};
use crate::harness::{Answer, Link, Server, address_in, shared};

const ELSE: &str = "https://example.com/else";

fn ruled(server: &Server, rules: &Value) -> Link {
    server.api().create(&json!({ "destination": ELSE, "rules": rules }))
}

fn to(place: &str, conditions: &Value) -> Value {
    let destination = format!("https://example.com/{place}");
    json!({ "conditions": conditions, "target": { "destination": destination } })
}

#[test]
fn the_first_rule_that_fits_is_followed() {
    let server = shared();
    let link = ruled(
        &server,
        &json!([
            to("bot", &json!([{ "bot": true }])),
            to("german-phone", &json!([{ "country": ["DE"] }, { "os": ["iOS"] }])),
            to("german", &json!([{ "country": ["DE"] }])),
            to("asked", &json!([{ "query": { "name": "to", "equals": "there" } }])),
            to("french", &json!([{ "language": ["fr"] }])),
            to("friends", &json!([{ "referrer": ["friends.example"] }])),
        ]),
    );
    let (germany, japan) = (address_in("DE"), address_in("JP"));
    let path = format!("/{}", link.slug);
    let visit = |query: &str, address| server.visit_path(&format!("{path}{query}")).from(address);
    for (visit, place) in [
        (visit("", &germany).agent(GOOGLEBOT), "bot"),
        (visit("", &germany).agent(SAFARI_ON_IPHONE), "german-phone"),
        (visit("", &germany).agent(CHROME_ON_WINDOWS), "german"),
        (visit("?to=there", &japan), "asked?to=there"),
        (visit("?to=here", &japan), "else?to=here"),
        (visit("", &japan).languages("fr-CA, en;q=0.5"), "french"),
        (visit("", &japan).referrer("https://www.friends.example/x"), "friends"),
        (visit("", &japan).languages("en"), "else"),
    ] {
        assert_eq!(visit.follow(), format!("https://example.com/{place}"));
    }
    let rules = server.api().get(&link.path()).expect(200).data()["rules"].clone();
    let counted = server.breakdown_of(&link, "rule");
    assert_eq!(counted[rules[2]["id"].as_str().unwrap()], 1, "{counted:?}");
    assert_eq!(counted[""], 2, "{counted:?}");
}

#[test]
fn a_split_keeps_its_visitors_and_says_which_variant_they_drew() {
    let server = shared();
    let variant = |name: &str| json!({ "name": name, "destination": format!("https://example.com/{name}"), "weight": 1 });
    let split = json!({ "variants": [variant("a"), variant("b")] });
    let link = ruled(&server, &json!([{ "target": { "split": split } }]));
    let drawn = |visitor: u8| server.visit(&link).from(format!("198.51.100.{visitor}")).follow();
    let first: Vec<_> = (0..60).map(drawn).collect();
    assert_eq!((0..60).map(drawn).collect::<Vec<_>>(), first, "sticky");
    let of_a = first.iter().filter(|place| place.ends_with("/a")).count();
    // 60 fair draws: outside of 10 to 50 once in ten million.
    assert!((10..=50).contains(&of_a), "{of_a}");
    let chosen = server.breakdown_of(&link, "variant");
    assert_eq!(chosen["a"], 2 * of_a as u64);
    // A winner takes all.
    let rules = server.api().get(&link.path()).expect(200).data()["rules"].clone();
    let mut rules = rules.as_array().unwrap().clone();
    rules[0]["target"]["split"]["winner"] = json!("b");
    let kept = server.api().patch(&link.path(), &json!({ "rules": rules })).expect(200).data();
    assert_eq!(kept["rules"][0]["id"], rules[0]["id"]);
    assert!((0..60).all(|visitor| drawn(visitor).ends_with("/b")));
}

#[test]
fn phones_are_led_to_their_app() {
    let server = shared();
    let link = server.api().create(&json!({
        "destination": ELSE,
        "ios_url": "myapp://spring", "ios_store_url": "https://apps.example/myapp",
        "android_url": "https://app.example/spring",
    }));
    let android = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36";
    assert_eq!(server.visit(&link).follow(), ELSE);
    assert_eq!(server.visit(&link).agent(android).follow(), "https://app.example/spring");
    let page = server.visit(&link).agent(SAFARI_ON_IPHONE).send().expect(200);
    for part in ["myapp://spring", "https://apps.example/myapp"] {
        assert!(page.text.contains(&format!("href=\"{part}\"")), "{page:?}");
    }
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    server.await_clicks(&link, 3);
}

#[test]
fn who_was_here_before_is_known() {
    let server = shared();
    let link = ruled(&server, &json!([to("again", &json!([{ "returning": true }]))]));
    let visit = |last: u8| server.visit(&link).from(format!("203.0.113.{last}")).follow();
    assert_eq!(visit(1), ELSE);
    assert_eq!(visit(1), "https://example.com/again");
    assert_eq!(visit(2), ELSE);
}

#[test]
fn visitors_are_sent_on_as_the_link_says() {
    let server = shared();
    for status in [301, 302, 303, 307, 308] {
        let body = json!({
            "destination": "https://example.com/a?b=c#d", "redirect_status": status,
            "canonical": true, "noindex": true,
        });
        let link = server.api().create(&body);
        let answer = server.visit(&link).send().expect(status);
        assert_eq!(answer.header("location"), "https://example.com/a?b=c#d");
        assert_eq!(answer.header("link"), "<https://example.com/a?b=c>; rel=\"canonical\"");
        assert_eq!(answer.header("x-robots-tag"), "noindex");
        assert_eq!(answer.header("cache-control"), "private, no-store");
    }
}

#[test]
fn more_of_a_path_goes_along_where_the_link_lets_it() {
    let server = shared();
    let link = |forward_path| {
        let body = json!({ "destination": "https://example.com/shop?a=1#f", "forward_path": forward_path });
        server.api().create(&body)
    };
    let open = link(true);
    let visit = |link: &Link, more: &str| server.visit_path(&format!("/{}{more}", link.slug));
    for (more, location) in [
        ("", "https://example.com/shop?a=1#f"),
        ("/", "https://example.com/shop/?a=1#f"),
        ("/shoes/red", "https://example.com/shop/shoes/red?a=1#f"),
        ("/shoes?a=2&b=3", "https://example.com/shop/shoes?a=1&b=3#f"),
    ] {
        assert_eq!(visit(&open, more).follow(), location, "{more}");
    }
    // Some clients tidy other climbing paths up themselves.
    visit(&open, "/a%2f..%2fb").send().expect(404);
    visit(&link(false), "/shoes").send().expect(404);
    server.await_clicks(&open, 4);
}

/// `/slug/more` meets the gates that `/slug` meets, and is answered alike.
#[test]
fn more_of_a_path_goes_through_the_gates() {
    let server = shared();
    let in_an_hour = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string();
    let link = server.api().create(&json!({
        "destination": "https://example.com/shop", "forward_path": true,
        "expired_url": "https://example.com/over",
    }));
    let visit = |more: &str| server.visit_path(&format!("/{}{more}", link.slug));
    for (change, status) in [
        (json!({ "enabled": false }), 404),
        (json!({ "enabled": true, "archived": true }), 410),
        (json!({ "archived": false, "starts_at": in_an_hour }), 404),
        (json!({ "starts_at": null, "max_clicks": 2 }), 302),
    ] {
        server.api().patch(&link.path(), &change).expect(200);
        let (plain, below) = (visit("").send().expect(status), visit("/red").send().expect(status));
        assert_eq!(plain.text, below.text, "{change}");
    }
    assert_eq!(visit("/red").follow(), "https://example.com/over");
    visit("/..%2f").send().expect(404);
    server
        .api()
        .patch(&link.path(), &json!({ "max_clicks": null, "og_preview": true }))
        .expect(200);
    let shown = visit("/red").agent("facebookexternalhit/1.1").send().expect(200);
    for part in [&format!("/{}/red\">", link.slug), "href=\"https://example.com/shop/red\""] {
        assert!(shown.text.contains(part), "{part}: {}", shown.text);
    }
    server.api().patch(&link.path(), &json!({ "forward_path": false })).expect(200);
    visit("/red").agent("facebookexternalhit/1.1").send().expect(404);
}

#[test]
fn a_password_leads_on_to_where_the_visitor_was_going() {
    let server = shared();
    let link = server.api().create(&json!({
        "destination": "https://example.com/shop", "forward_path": true, "password": "open sesame",
    }));
    let path = format!("/{}/red?a=1&b=%22", link.slug);
    let page = server.visit_path(&path).send().expect(401);
    let form = crate::passwords::Form::of(&page);
    let unlock = |page: &Answer, password| {
        let rest = page.text.split("name=\"rest\" value=\"").nth(1).unwrap();
        let rest = rest.split('"').next().unwrap().replace("&#38;", "&");
        assert_eq!(rest, "/red?a=1&b=%22");
        let fields = [("password", password), ("rest", rest.as_str())];
        let sent = form.send(&server, &format!("/l/{}/unlock", link.slug), &fields);
        Answer::to(sent.header("user-agent", CHROME_ON_WINDOWS))
    };
    let again = unlock(&page, "open barley").expect(401);
    let open = unlock(&again, "open sesame").expect(200);
    assert!(open.text.contains(&format!("url={}\"", path.replace('&', "&#38;"))), "{open:?}");
    let cookie = open.header("set-cookie").split(';').next().unwrap();
    let there = server.visit_path(&path).header("cookie", cookie).follow();
    assert_eq!(there, "https://example.com/shop/red?a=1&b=%22");
}

#[test]
fn what_can_not_be_a_rule_is_refused_by_its_place() {
    let server = shared();
    let fits = |conditions: Value| to("x", &conditions);
    for (rules, field) in [
        (json!([fits(json!([{ "country": ["XX"] }]))]), "rules[0].conditions[0].country"),
        (json!([fits(json!([{ "bot": true }, { "bot": false }]))]), "rules[0].conditions[1].bot"),
        (json!([fits(json!([{ "planet": ["Mars"] }]))]), "rules[0].conditions[0].planet"),
        (
            json!([fits(
                json!([{ "time": { "from": "09:00", "until": "10:00", "time_zone": "Mars/Base" } }])
            )]),
            "rules[0].conditions[0].time.time_zone",
        ),
        (
            json!([{ "target": { "split": { "variants": [
                { "name": "a", "destination": ELSE, "weight": 0 },
                { "name": "b", "destination": ELSE, "weight": 1 },
            ] } } }]),
            "rules[0].target.split.variants[0].weight",
        ),
        (
            json!([{ "target": { "destination": format!("{}/loop", server.base) } }]),
            "rules[0].target.destination",
        ),
    ] {
        let body = json!({ "destination": ELSE, "rules": rules });
        server.api().post("/links", &body).refuses(400, "VALIDATION_ERROR", &[field]);
    }
}

#[test]
fn rules_can_be_tried_on_a_visitor_who_is_described() {
    let server = shared();
    let link = ruled(&server, &json!([to("german", &json!([{ "country": ["DE"] }]))]));
    let path = format!("{}/rules/test", link.path());
    let tried = |body: Value| server.api().post(&path, &body).expect(200).data();
    let german = tried(json!({ "visitor": { "country": "de" } }));
    assert_eq!(german["destination"], "https://example.com/german");
    assert_eq!(german["place"], 0);
    let other = tried(json!({ "visitor": { "country": "FR" } }));
    assert_eq!((&other["rule"], &other["destination"]), (&Value::Null, &json!(ELSE)));
    let proposed = json!([to("phones", &json!([{ "device": ["mobile"] }]))]);
    let tablet = tried(json!({ "visitor": { "device": "mobile" }, "rules": proposed }));
    assert_eq!(tablet["destination"], "https://example.com/phones");
    for (body, field) in [
        (json!({ "visitor": { "device": "fridge" } }), "visitor.device"),
        (json!({ "visitor": { "at": "noon" } }), "visitor.at"),
        (
            json!({ "rules": [to("x", &json!([{ "country": ["Germany"] }]))] }),
            "rules[0].conditions[0].country",
        ),
    ] {
        server.api().post(&path, &body).refuses(400, "VALIDATION_ERROR", &[field]);
    }
    assert_eq!(server.visit(&link).follow(), ELSE, "nothing has changed");
}

#[test]
fn rules_can_be_tried_on_past_clicks() {
    let server = shared();
    let link = server.link_to(ELSE);
    for (country, clicks) in [("DE", 3), ("JP", 2)] {
        for _ in 0..clicks {
            server.visit(&link).from(address_in(country)).follow();
        }
    }
    server.await_clicks(&link, 5);
    let path = format!("{}/rules/dry-run?date_range=2d", link.path());
    let rules = json!([
        to("asked", &json!([{ "query": { "name": "x", "has": true } }])),
        to("german", &json!([{ "country": ["DE"] }])),
    ]);
    let found = server.api().post(&path, &json!({ "rules": rules })).expect(200).data();
    assert_eq!((&found["replayed"], &found["is_cut"]), (&json!(5), &json!(false)), "{found}");
    assert_eq!(found["unknown"], json!(["query"]));
    let places: Vec<_> = found["places"]
        .as_array()
        .unwrap()
        .iter()
        .map(|place| (place["destination"].as_str().unwrap(), place["clicks"].as_u64().unwrap()))
        .collect();
    assert_eq!(places, [("https://example.com/german", 3), (ELSE, 2)]);
    let wrong = server.api().post(&path.replace("=2d", "=2x"), &json!({}));
    wrong.refuses(400, "VALIDATION_ERROR", &["date_range"]);
}
