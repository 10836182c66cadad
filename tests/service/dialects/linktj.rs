//! link.tj: its scheduled jobs, and what no request of its documents shows.

use std::time::{Duration, SystemTime};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Options, Server, TOKEN, eventually};
use crate::plans::grant;

const SECRET: &str = "the-secret-of-the-scheduler";

fn cron(server: &Server, query: &str) -> Answer {
    Answer::to(server.request(Method::POST, &format!("/compat/linktj/api/cron?{query}")))
}

#[test]
fn a_scheduler_renews_at_once_and_its_secret_is_not_logged() {
    let server = Options::links_only().env("SLUGLINE_CRON_SECRET", SECRET).start();
    let soon: jiff::Timestamp = (SystemTime::now() + Duration::from_secs(1)).try_into().unwrap();
    let credits = json!({ "kind": "links", "amount": 3, "expires_at": soon.to_string() });
    grant(&server, &credits).expect(201);
    let run =
        |task: &str| cron(&server, &format!("secret={SECRET}&task={task}")).expect(200).json();
    eventually("the credits have expired", || {
        (run("renew")["data"]["renew"]["changes"] == 1).then_some(())
    });
    let ledger = server.api().get("/billing/ledger").data();
    assert_eq!(ledger[0]["entry"], "expired");
    assert_eq!(
        run("all")["data"],
        json!({ "renew": { "changes": 0 }, "weekly": { "reports": 0 } })
    );
    assert_eq!(run("weekly")["data"], json!({ "weekly": { "reports": 0 } }));
    cron(&server, &format!("secret={SECRET}&task=daily")).expect(400);
    cron(&server, "secret=another-secret-of-a-scheduler").expect(401);
    let log = server.stop_for_log();
    assert!(!log.iter().any(|line| line.contains(SECRET)), "{log:?}");
}

#[test]
fn without_a_secret_no_secret_is_right() {
    let server = Options::links_only().start();
    for query in
        ["", "secret=", "secret=a-secret", "task=renew", "secret=0000000000000000&task=all"]
    {
        let refused = cron(&server, query).expect(401).json();
        assert_eq!(refused["code"], "unauthorized", "{query}");
    }
    // Not by a page of another site, whose requests may have the session of a superadmin.
    let request = server.request(Method::GET, "/compat/linktj/api/cron");
    Answer::to(request.header("sec-fetch-site", "cross-site")).expect(403);
    // A token is none, even the owner's.
    let request = server.request(Method::POST, "/compat/linktj/api/cron").bearer_auth(TOKEN);
    assert_eq!(Answer::to(request).expect(403).json()["code"], Value::from("forbidden"));
}

/// A request with the owner's token.
fn request(server: &Server, method: Method, path: &str, body: &str) -> Answer {
    let request = server.request(method, &format!("/compat/linktj/api/v1{path}"));
    let request = request.bearer_auth(TOKEN).header("content-type", "application/json");
    let answer = Answer::to(request.body(body.to_owned()));
    assert_eq!(answer.header("access-control-allow-origin"), "*", "{answer:?}");
    answer
}

#[test]
fn counts_are_null_and_analytics_unavailable_without_clickhouse() {
    let server = Options::links_only().start();
    let link = r#"{"url": "https://example.com", "slug": "promo"}"#;
    request(&server, Method::POST, "/links", link).expect(201);
    let list = request(&server, Method::GET, "/links", "").expect(200).json();
    assert_eq!((&list["total"], &list["data"][0]["clicks"]), (&json!(1), &Value::Null));
    let me = request(&server, Method::GET, "/me", "").expect(200).json();
    assert_eq!(me["data"]["usage"]["clicksUsed"], Value::Null);
    assert_eq!(me["data"]["usage"]["linksUsed"], 1);
    let details = request(&server, Method::GET, "/links/promo", "").expect(503).json();
    assert_eq!(details["code"], "unavailable");
    request(&server, Method::DELETE, "/links/promo", "").expect(200);
}

#[test]
fn large_bodies_are_refused_in_the_form_of_errors() {
    let server = Options::links_only().start();
    let body = format!(r#"{{"url": "https://example.com/{}"}}"#, "x".repeat(2 << 20));
    let refused = request(&server, Method::POST, "/links", &body).expect(413).json();
    assert_eq!(refused["code"], "payload_too_large");
    for path in ["/links", "/auth/token"] {
        let path = format!("/compat/linktj/api{}", path.replace("/links", "/v1/links"));
        let listed = Answer::to(server.request(Method::POST, &path).body("[1]"));
        let listed = listed.expect(if path.ends_with("token") { 400 } else { 401 }).json();
        assert_eq!(listed.as_object().unwrap().len(), 2, "{listed}");
    }
}

#[test]
fn limits_that_are_not_monthly_are_shown() {
    let plans = r#"
default = "acme/small"

[[plans]]
id = "acme/small"
name = "Small"
limits = { links = 1 }

[[plans]]
id = "acme/large"
name = "Large"
price = { amount = "102", currency = "USD", interval = "year" }
limits = { links = 9 }
"#;
    let (server, _folder) = crate::plans::start(plans);
    let link = r#"{"url": "https://example.com"}"#;
    let created = request(&server, Method::POST, "/links", link).expect(201).json();
    let usage = json!({ "linksUsed": 1, "linkLimit": 1, "linksRemaining": 0 });
    assert_eq!(created["usage"], usage);
    let refused = request(&server, Method::POST, "/links", link).expect(402).json();
    let recommend = json!({ "name": "Large", "priceMonthly": 8.5, "linkLimit": 9 });
    let expected =
        json!({ "error": "limit_reached", "code": "limit_reached", "recommend": recommend });
    assert_eq!(refused, expected);
}

#[test]
fn short_secrets_are_refused() {
    let options = Options::links_only().env("SLUGLINE_CRON_SECRET", "short");
    let refused = options.command().output().unwrap();
    assert!(!refused.status.success());
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(error.contains("cron-secret") && !error.contains("short"), "{error}");
}
