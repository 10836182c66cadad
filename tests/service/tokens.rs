//! Tokens: who is let in, and what they may do.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Answer, Options, PATIENCE, Server, TOKEN, shared};

/// The API's paths, each with the ability that it needs.
const PATHS: &[(&str, &str, &str)] = &[
    ("GET", "/links", "links:read"),
    ("GET", "/links/count", "links:read"),
    ("GET", "/links/by-external-id/nothing-here", "links:read"),
    ("PUT", "/links/by-external-id/nothing-here", "links:write"),
    ("GET", "/tags", "links:read"),
    ("GET", "/folders", "links:read"),
    ("GET", "/campaigns", "links:read"),
    ("POST", "/campaigns", "links:write"),
    ("GET", "/campaigns/camp_00000000000000000000000000", "links:read"),
    ("PATCH", "/campaigns/camp_00000000000000000000000000", "links:write"),
    ("DELETE", "/campaigns/camp_00000000000000000000000000", "links:write"),
    ("GET", "/utm-templates", "links:read"),
    ("POST", "/utm-templates", "links:write"),
    ("GET", "/utm-templates/utm_00000000000000000000000000", "links:read"),
    ("PATCH", "/utm-templates/utm_00000000000000000000000000", "links:write"),
    ("DELETE", "/utm-templates/utm_00000000000000000000000000", "links:write"),
    ("GET", "/links/nothing-here", "links:read"),
    ("POST", "/links", "links:write"),
    ("POST", "/links/bulk", "links:write"),
    ("PATCH", "/links/bulk", "links:write"),
    ("DELETE", "/links/bulk", "links:write"),
    ("GET", "/links/export", "links:read"),
    ("POST", "/imports", "links:write"),
    ("GET", "/imports", "links:read"),
    ("GET", "/imports/imp_00000000000000000000000000", "links:read"),
    ("DELETE", "/imports/imp_00000000000000000000000000", "links:write"),
    ("GET", "/imports/imp_00000000000000000000000000/rejects", "links:read"),
    ("PUT", "/links/nothing-here", "links:write"),
    ("PATCH", "/links/nothing-here", "links:write"),
    ("DELETE", "/links/nothing-here", "links:write"),
    ("GET", "/links/nothing-here/versions", "links:read"),
    ("GET", "/links/nothing-here/diff", "links:read"),
    ("POST", "/links/nothing-here/revert", "links:write"),
    ("POST", "/links/nothing-here/restore", "links:write"),
    ("GET", "/audit", "audit:read"),
    ("GET", "/links/nothing-here/clicks", "analytics:read"),
    ("GET", "/links/nothing-here/blocked", "analytics:read"),
    ("GET", "/analytics/blocked", "analytics:read"),
    ("POST", "/links/nothing-here/rules/test", "links:read"),
    ("POST", "/links/nothing-here/rules/dry-run", "analytics:read"),
    ("GET", "/links/nothing-here/clicks/summary", "analytics:read"),
    ("GET", "/links/nothing-here/countries", "analytics:read"),
    ("GET", "/links/nothing-here/cities", "analytics:read"),
    ("GET", "/links/nothing-here/devices", "analytics:read"),
    ("GET", "/links/nothing-here/browsers", "analytics:read"),
    ("GET", "/links/nothing-here/operating-systems", "analytics:read"),
    ("GET", "/links/nothing-here/referrers", "analytics:read"),
    ("GET", "/links/nothing-here/continents", "analytics:read"),
    ("GET", "/links/nothing-here/regions", "analytics:read"),
    ("GET", "/links/nothing-here/languages", "analytics:read"),
    ("GET", "/links/nothing-here/utm/source", "analytics:read"),
    ("GET", "/analytics", "analytics:read"),
    ("GET", "/analytics/links/nothing-here", "analytics:read"),
    ("GET", "/clicks", "analytics:read"),
    ("GET", "/analytics/export", "analytics:read"),
    ("GET", "/exports", "analytics:read"),
    ("POST", "/exports", "analytics:read"),
    ("GET", "/exports/exp_00000000000000000000000000", "analytics:read"),
    ("DELETE", "/exports/exp_00000000000000000000000000", "analytics:read"),
    ("GET", "/exports/exp_00000000000000000000000000/download", "analytics:read"),
    ("POST", "/analytics/query", "analytics:read"),
    ("POST", "/analytics/batch", "analytics:read"),
    ("GET", "/reports", "links:read"),
    ("POST", "/reports/rep_00000000000000000000000000/resolve", "links:write"),
    ("GET", "/domains", "links:read"),
    ("POST", "/domains", "links:write"),
    ("GET", "/domains/nowhere.example", "links:read"),
    ("PATCH", "/domains/nowhere.example", "links:write"),
    ("DELETE", "/domains/nowhere.example", "links:write"),
    ("POST", "/domains/nowhere.example/verify", "links:write"),
    ("GET", "/tokens", "user:read"),
    ("POST", "/tokens", "user:write"),
    ("DELETE", "/tokens/tok_00000000000000000000000000", "user:write"),
];

/// Those that no ability opens but all of them together, or the operator's key alone.
const OPERATORS_PATHS: &[(&str, &str)] = &[
    ("GET", "/admin/reconcile"),
    ("GET", "/admin/rebuild/analytics"),
    ("POST", "/admin/rebuild/analytics"),
    ("GET", "/admin/reclassify"),
    ("POST", "/admin/reclassify"),
];

const ABILITIES: &[&str] = &[
    "links:read",
    "links:write",
    "analytics:read",
    "qr:read",
    "qr:write",
    "user:read",
    "user:write",
    "events:write",
    "audit:read",
];

fn ask(server: &Server, token: &str, method: &str, path: &str) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    Answer::to(server.api_as(token).request(method, path).json(&json!({})))
}

#[test]
fn no_path_of_the_api_is_open_without_a_token() {
    let server = shared();
    let every = PATHS.iter().map(|(method, path, _)| (method, path));
    for (method, path) in every.chain(OPERATORS_PATHS.iter().map(|(method, path)| (method, path))) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let bare = Answer::to(server.request(method.clone(), &format!("/api/v1{path}")));
        bare.problem(401, "UNAUTHORIZED");
        assert_eq!(bare.header("www-authenticate"), "Bearer");
        let wrong = ask(&server, "slk_wrong-token-of-somebody", method.as_str(), path);
        wrong.problem(401, "INVALID_API_KEY");
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

/// The table above has each path that the API's own description has.
#[test]
fn every_path_of_the_api_needs_a_token() {
    let server = shared();
    let document = server.get("/api/v1/openapi.json").expect(200).json();
    let mut described = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            described.push((method.to_uppercase(), path.clone()));
        }
    }
    let token = "tok_00000000000000000000000000";
    let as_described = |path: &str| {
        let path = path.replace("external-id/nothing-here", "external-id/{external_id}");
        let path = path.replace("camp_00000000000000000000000000", "{campaign}");
        let path = path.replace("utm_00000000000000000000000000", "{template}");
        let path = path.replace("nothing-here", "{link}").replace(token, "{token}");
        let path = path.replace("nowhere.example", "{domain}");
        let path = path.replace("utm/source", "utm/{which}");
        let path = path.replace("exp_00000000000000000000000000", "{export}");
        let path = path.replace("rep_00000000000000000000000000", "{report}");
        let path = path.replace("imp_00000000000000000000000000", "{import}");
        path.replace("rebuild/analytics", "rebuild/{projection}")
    };
    let known = PATHS.iter().map(|(method, path, _)| (method, path));
    let known = known.chain(OPERATORS_PATHS.iter().map(|(method, path)| (method, path)));
    let mut known: Vec<_> =
        known.map(|(method, path)| ((*method).to_owned(), as_described(path))).collect();
    described.sort();
    known.sort();
    assert_eq!(known, described);
}

/// Each path is open to the tokens that have its ability, and to no others.
#[test]
fn a_token_may_do_what_its_abilities_say_and_no_more() {
    let server = shared();
    for ability in ABILITIES {
        let (_, secret) = server.api().token(&[ability]);
        for (method, path, needed) in PATHS {
            let answer = ask(&server, &secret, method, path);
            if needed == ability {
                assert!(![401, 403].contains(&answer.status), "{ability} {method} {path}");
            } else {
                let problem = answer.problem(403, "FORBIDDEN");
                let detail = problem["detail"].as_str().unwrap();
                assert!(detail.contains(needed), "{detail}");
            }
        }
        for (method, path) in OPERATORS_PATHS {
            ask(&server, &secret, method, path).problem(403, "FORBIDDEN");
        }
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
}
