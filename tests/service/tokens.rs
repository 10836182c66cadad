//! Tokens: authentication and abilities.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Options, PATIENCE, Server, TOKEN, shared};
use crate::openapi::{Operation, operations};

const ABILITIES: &[&str] = &[
    "links:read",
    "links:write",
    "links:create",
    "links:update",
    "links:delete",
    "analytics:read",
    "qr:read",
    "qr:write",
    "user:read",
    "user:write",
    "events:write",
    "audit:read",
    "members:write",
    "workspace:write",
    "billing:write",
];

/// Whether a token with one ability may call what needs another.
fn includes(ability: &str, needed: &str) -> bool {
    let is_part = ["links:create", "links:update", "links:delete"].contains(&needed);
    ability == needed || ability == "links:write" && is_part
}

fn ask(server: &Server, token: &str, method: &str, path: &str) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    Answer::to(server.api_as(token).request(method, path).json(&json!({})))
}

#[test]
fn no_path_of_the_api_is_open_without_a_token() {
    let server = shared();
    let operations = operations(&server);
    let closed = operations.iter().filter(|one| one.ability != "public");
    for (number, Operation { method, path, .. }) in closed.enumerate() {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let bare = Answer::to(server.request(method.clone(), &format!("/api/v1{path}")));
        bare.problem(401, "UNAUTHORIZED");
        assert_eq!(bare.header("www-authenticate"), "Bearer");
        // Each from an address of its own: too many from one are throttled.
        let wrong = server.api_as("slk_wrong-token-of-somebody").request(method, path);
        let wrong = wrong.header("x-forwarded-for", format!("198.51.100.{number}"));
        Answer::to(wrong.json(&json!({}))).problem(401, "INVALID_API_KEY");
    }
}

#[test]
fn a_token_is_taken_in_either_header() {
    let server = shared();
    for (name, value) in [
        ("Authorization", format!("Bearer {TOKEN}")),
        ("Authorization", format!("bearer {TOKEN}")),
        ("X-API-Key", TOKEN.to_owned()),
    ] {
        let request = server.request(Method::GET, "/api/v1/links").header(name, value);
        Answer::to(request).expect(200);
    }
    for (name, value) in [
        ("Authorization", TOKEN.to_owned()),
        ("Authorization", "Basic b3duZXI6cGFzc3dvcmQ=".to_owned()),
        ("Authorization", "Bearer ".to_owned()),
        ("X-API-Key", format!("{TOKEN}x")),
        ("X-API-Key", TOKEN[1..].to_owned()),
    ] {
        let request = server.request(Method::GET, "/api/v1/links").header(name, &value);
        assert_eq!(Answer::to(request).status, 401, "{name}: {value}");
    }
}

/// Each operation is open to the tokens that have the ability it declares, and to no others.
#[test]
fn a_token_may_do_what_its_abilities_say_and_no_more() {
    let server = shared();
    let operations = operations(&server);
    for ability in ABILITIES {
        let (_, secret) = server.api().token(&[ability]);
        for Operation { method, path, ability: needed, .. } in &operations {
            let answer = ask(&server, &secret, method, path);
            if needed == "public" {
                assert!(answer.status < 500, "{method} {path}: {answer:?}");
            } else if includes(ability, needed) {
                assert!(![401, 403].contains(&answer.status), "{ability} {method} {path}");
            } else if ["operator", "session", "*"].contains(&needed.as_str()) {
                answer.problem(403, "FORBIDDEN");
            } else {
                let problem = answer.problem(403, "FORBIDDEN");
                let detail = problem["detail"].as_str().unwrap();
                assert!(detail.contains(needed), "{detail}");
            }
        }
    }
}

/// What needs no credential is signing in, and what the links in mails lead to.
#[test]
fn only_signing_in_and_signed_reports_are_open_without_a_credential() {
    let mut open: Vec<_> = operations(&shared())
        .into_iter()
        .filter(|one| one.ability == "public")
        .map(|one| one.id)
        .collect();
    open.sort();
    let known = [
        "auth_confirm_email",
        "auth_forgot_password",
        "auth_login",
        "auth_reset_password",
        "auth_set_up",
        "auth_sign_up",
        "auth_token",
        "auth_verify",
        "billing_receive_generic",
        "billing_receive_stripe",
        "invitations_get",
    ];
    assert_eq!(open, known);
}

/// No operation that changes something is open to an ability to read.
#[test]
fn changes_need_an_ability_to_write() {
    // These compute something, or write a file of what their callers may read.
    let reads = [
        "analytics_batch",
        "analytics_query",
        "exports_create",
        "exports_delete",
        "qr_exports_create",
        "qr_exports_delete",
        "rules_dry_run",
        "rules_test",
    ];
    let mut odd: Vec<_> = operations(&shared())
        .into_iter()
        .filter(|one| one.method != "GET" && one.ability.ends_with(":read"))
        .map(|one| one.id)
        .collect();
    odd.sort();
    assert_eq!(odd, reads);
    for one in operations(&shared()) {
        let is_admin = one.path.starts_with("/admin/");
        assert_eq!(is_admin, ["operator", "*"].contains(&one.ability.as_str()), "{}", one.id);
        // The addresses of the invited are for those who manage members.
        let is_private = one.id == "invitations_list";
        let is_write = one.ability.ends_with(":write") && !is_private;
        assert!(one.method != "GET" || !is_write, "{}", one.id);
    }
}

#[test]
fn a_token_hands_on_no_more_than_it_has() {
    let server = shared();
    let (_, secret) = server.api().token(&["user:write", "links:read"]);
    let api = server.api_as(secret);
    for abilities in [vec!["links:write"], vec!["*"], vec!["links:read", "analytics:read"]] {
        let body = json!({ "name": "more", "abilities": abilities });
        api.post("/tokens", &body).problem(403, "FORBIDDEN");
    }
    let (_, less) = api.token(&["links:read"]);
    server.api_as(less).get("/links").expect(200);
}

#[test]
fn a_revoked_token_is_good_no_longer() {
    let server = shared();
    let (id, secret) = server.api().token(&["*"]);
    server.api_as(&secret).get("/links").expect(200);
    server.api().delete(&format!("/tokens/{id}")).expect(204);
    server.api_as(&secret).get("/links").problem(401, "INVALID_API_KEY");
    server.api().delete(&format!("/tokens/{id}")).problem(404, "NOT_FOUND");
    server.api().get("/links").expect(200);
}

#[test]
fn a_list_of_tokens_names_them_and_shows_no_secret() {
    let server = shared();
    let (id, secret) = server.api().token(&["analytics:read", "links:read"]);
    let list = server.api().get("/tokens").expect(200);
    assert!(!list.text.contains(&secret) && !list.text.contains(TOKEN));
    let tokens = list.data();
    let listed = tokens.as_array().unwrap().iter().find(|token| token["id"] == id.as_str());
    let listed = listed.unwrap().as_object().unwrap();
    assert_eq!(listed["name"], "limited");
    assert_eq!(listed["abilities"], json!(["links:read", "analytics:read"]));
    assert!(listed["created_at"].is_string() && !listed.contains_key("token"));
    assert_eq!(listed["prefix"], secret[..8]);
    assert_eq!((&listed["expires_at"], &listed["last_used_at"]), (&Value::Null, &Value::Null));
    assert_eq!(tokens[0]["abilities"], json!(["*"]), "the owner's is the oldest");
}

/// A secret is in the answer that made it and nowhere else: in no file, in no line of the log,
/// though everything is logged.
#[test]
fn secrets_are_stored_nowhere() {
    let options = Options::links_only().flag("--log", "trace");
    let server = options.start();
    let (_, secret) = server.api().token(&["links:read"]);
    assert!(secret.len() >= 32, "{secret}");
    server.api_as(&secret).get("/links").expect(200);
    server.api_as(&secret).post("/links", &json!({})).problem(403, "FORBIDDEN");
    let log = server.stop_for_log().join("\n");
    for secret in [TOKEN, &secret] {
        assert!(!log.contains(secret), "the log holds a secret");
        for (path, bytes) in options.data.files() {
            let holds = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!holds, "{} holds a secret", path.display());
        }
    }
}

/// The first start makes an owner's token and prints it to the terminal, not to the log; no
/// later start prints one.
#[test]
fn the_first_start_prints_the_owners_token_once() {
    let options = Options::links_only().without_token();
    let server = options.start();
    let printed = crate::harness::within(PATIENCE, "the token is printed", || {
        let lines = server.stdout.lines();
        lines.iter().map(|line| line.trim().to_owned()).find(|line| line.starts_with("slk_"))
    });
    server.api_as(&printed).get("/links").expect(200);
    let (id, _) = server.api_as(&printed).token(&["*"]);
    assert!(id.starts_with("tok_"), "{id}");
    assert!(!server.stop_for_log().join("\n").contains(&printed));

    let server = options.start();
    server.api_as(&printed).get("/links").expect(200);
    let stdout = server.stdout.clone();
    assert!(server.stop().success());
    assert_eq!(stdout.text(), "");
}

/// A token that is given counts for an empty log only: it cannot be used to break in later.
#[test]
fn a_given_token_is_not_taken_where_there_is_an_owner() {
    let options = Options::links_only();
    assert!(options.start().stop().success());
    let other = "another-token-that-is-long-enough";
    let server = options.clone().env("SLUGLINE_BOOTSTRAP_TOKEN", other).start();
    server.api_as(other).get("/links").problem(401, "INVALID_API_KEY");
    server.api().get("/links").expect(200);
    let log = server.stop_for_log();
    let warning = log.iter().find(|line| line.contains("SLUGLINE_BOOTSTRAP_TOKEN is ignored"));
    assert!(warning.is_some_and(|line| line.contains("WARN")), "{log:?}");
    assert!(log.iter().all(|line| !line.contains(other)), "the log holds a token");
    let log = options.without_token().start().stop_for_log();
    assert!(log.iter().all(|line| !line.contains("SLUGLINE_BOOTSTRAP_TOKEN")), "{log:?}");
}

/// The token of a list with this id.
fn listed(server: &Server, id: &str) -> Value {
    let tokens = server.api().get("/tokens").expect(200).data();
    tokens.as_array().unwrap().iter().find(|token| token["id"] == id).unwrap().clone()
}

#[test]
fn the_last_owner_stays_and_nobody_revokes_what_exceeds_him() {
    let server = Options::links_only().start();
    let owner = listed(&server, server.api().get("/tokens").data()[0]["id"].as_str().unwrap());
    let (owner, revoke) = (owner["id"].as_str().unwrap(), |id: &str| format!("/tokens/{id}"));
    let refused = server.api().delete(&revoke(owner)).problem(409, "CONFLICT");
    assert!(refused["detail"].as_str().unwrap().contains("last token"), "{refused}");

    let (_, manager) = server.api().token(&["user:read", "user:write"]);
    let (reader, _) = server.api().token(&["links:read"]);
    let manager = server.api_as(manager);
    for id in [owner, reader.as_str()] {
        manager.delete(&revoke(id)).problem(403, "FORBIDDEN");
    }
    let (own, _) = manager.token(&["user:read"]);
    manager.delete(&revoke(&own)).expect(204);

    // Of two owners who revoke each other at the same moment, one stays.
    let (second, secret) = server.api().token(&["*"]);
    let statuses = std::thread::scope(|scope| {
        let by = |secret: &str, id: &str| {
            let (api, path) = (server.api_as(secret), revoke(id));
            scope.spawn(move || api.delete(&path).status)
        };
        [by(TOKEN, &second), by(&secret, owner)].map(|revoked| revoked.join().unwrap())
    });
    assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
    let left = [TOKEN, &secret].map(|secret| server.api_as(secret).get("/links").status);
    assert_eq!(left.iter().filter(|status| **status == 200).count(), 1, "{left:?}");
}

#[test]
fn a_token_expires() {
    let server = Options::links_only().start();
    let create = |expires_at: Value| {
        let body = json!({ "name": "brief", "abilities": ["*"], "expires_at": expires_at });
        server.api().post("/tokens", &body)
    };
    for wrong in ["2020-01-01T00:00:00Z", "tomorrow", "2030-01-01"] {
        create(json!(wrong)).refuses(400, "VALIDATION_ERROR", &["expires_at"]);
    }
    let kept = create(json!("2040-01-01T01:00:00+01:00")).expect(201).data();
    assert_eq!(kept["expires_at"], "2040-01-01T00:00:00.000Z");
    let kept = server.api_as(kept["token"].as_str().unwrap());
    kept.get("/links").expect(200);

    let soon = jiff::Timestamp::now() + std::time::Duration::from_secs(2);
    let brief = create(json!(soon.to_string())).expect(201).data();
    let expired = crate::harness::eventually("the token expires", || {
        let answer = server.api_as(brief["token"].as_str().unwrap()).get("/links");
        (answer.status != 200).then_some(answer)
    });
    let problem = expired.problem(401, "INVALID_API_KEY");
    assert!(problem["detail"].as_str().unwrap().contains("token expired at"), "{problem}");
    // It is listed, it can be revoked, and it is no owner who could stay in the place of others.
    let id = brief["id"].as_str().unwrap();
    assert_eq!(listed(&server, id)["expires_at"], brief["expires_at"]);
    kept.delete(&format!("/tokens/{id}")).expect(204);
    assert!(
        server
            .get("/metrics")
            .text
            .contains("slugline_authentication_failures_total{reason=\"expired\"} 1")
    );
}

/// The time of the last use is kept over a restart.
#[test]
fn a_list_of_tokens_says_when_they_were_last_used() {
    let options = Options::links_only();
    let server = options.start();
    let (id, secret) = server.api().token(&["links:read"]);
    assert_eq!(listed(&server, &id)["last_used_at"], Value::Null);
    server.api_as(&secret).get("/links").expect(200);
    let events = server.readiness()["logs"]["mutations"]["end"].clone();
    let used = listed(&server, &id);
    let used_at: jiff::Timestamp = used["last_used_at"].as_str().unwrap().parse().unwrap();
    let created_at: jiff::Timestamp = used["created_at"].as_str().unwrap().parse().unwrap();
    assert!(used_at >= created_at && used_at <= jiff::Timestamp::now(), "{used}");
    assert_eq!(server.readiness()["logs"]["mutations"]["end"], events, "no event for a use");
    assert!(server.stop().success());
    let server = options.start();
    assert_eq!(listed(&server, &id)["last_used_at"], used["last_used_at"]);
}

/// An address with many unknown tokens is throttled, others are not, and valid tokens are taken
/// from anywhere.
#[test]
fn failed_authentications_are_throttled_counted_and_logged() {
    let server = Options::links_only().behind_proxy().start();
    let ask = |token: &str, address: &str| {
        let request = server.api_as(token).request(Method::GET, "/links");
        Answer::to(request.header("x-forwarded-for", address))
    };
    let unknown = "slk_unknown-token-of-somebody";
    for number in 0..30 {
        ask(unknown, &format!("2001:db8:1:2::{number}")).problem(401, "INVALID_API_KEY");
    }
    let refused = ask(unknown, "2001:db8:1:2:ffff::1");
    refused.problem(429, "RATE_LIMITED");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=900).contains(&wait), "{wait}");
    ask(TOKEN, "2001:db8:1:2:ffff::1").expect(200);
    ask(unknown, "2001:db8:1:2:ffff::1").expect(429);
    ask(unknown, "2001:db8:1:3::1").expect(401);
    server.get("/api/v1/links").expect(401);
    let metrics = server.get("/metrics").expect(200).text;
    for (reason, count) in [("unknown", 31), ("throttled", 2), ("missing", 1), ("expired", 0)] {
        let line = format!("slugline_authentication_failures_total{{reason=\"{reason}\"}} {count}");
        assert!(metrics.contains(&line), "no {line} in:\n{metrics}");
    }
    let log = server.stop_for_log();
    let lines: Vec<_> = log.iter().filter(|line| line.contains("authentication failed")).collect();
    assert!((1..=3).contains(&lines.len()), "{lines:?}");
    assert!(log.iter().all(|line| !line.contains(unknown) && !line.contains("2001:db8")));
}
