//! link.tj: its scheduled jobs.

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
    // A token is none, even the owner's.
    let request = server.request(Method::POST, "/compat/linktj/api/cron").bearer_auth(TOKEN);
    assert_eq!(Answer::to(request).expect(403).json()["code"], Value::from("forbidden"));
}

#[test]
fn short_secrets_are_refused() {
    let options = Options::links_only().env("SLUGLINE_CRON_SECRET", "short");
    let refused = options.command().output().unwrap();
    assert!(!refused.status.success());
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(error.contains("cron-secret") && !error.contains("short"), "{error}");
}
