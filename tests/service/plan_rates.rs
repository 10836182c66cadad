//! The rate limits of plans, and the API calls that they allow in a month.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::accounts::{Browser, User, operator, public};
use crate::harness::{Answer, Server, eventually};
use crate::plans::{options, set_plan, start, used};

const PLANS: &str = r#"
[[plans]]
id = "token"
name = "Token"
rates = [{ per = "token", requests = 5, window = "minute" }]

[[plans]]
id = "larger"
name = "Larger"
rates = [{ per = "token", requests = 8, window = "minute" }]

[[plans]]
id = "user"
name = "User"
rates = [
    { per = "user", requests = 4, window = "minute" },
    { per = "workspace", requests = 6, window = "hour" },
]

[[plans]]
id = "heavy"
name = "Heavy"
rates = [{ per = "token", class = "heavy", requests = 2, window = "minute" }]

[[plans]]
id = "burst"
name = "Burst"
rates = [{ per = "workspace", requests = 100, window = "hour" }]

[[plans]]
id = "calls"
name = "Calls"
limits = { api_calls_per_month = 5 }

[[plans]]
id = "more"
name = "More"
limits = { api_calls_per_month = 700 }
"#;

const HEADERS: [&str; 5] = [
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "ratelimit-policy",
    "ratelimit",
];

fn assign(server: &Server, plan: &str) {
    set_plan(server, &json!({ "plan": plan })).expect(200);
}

/// A server whose workspace has a plan.
fn on_plan(plan: &str) -> (Server, tempfile::TempDir) {
    let (server, folder) = start(PLANS);
    assign(&server, plan);
    (server, folder)
}

/// A server where this plan is the default one.
fn with_default(plan: &str) -> (Server, tempfile::TempDir) {
    start(&format!("default = \"{plan}\"\n{PLANS}"))
}

/// `X-RateLimit-Limit` and `-Remaining`.
#[track_caller]
fn limit_and_remaining(answer: &Answer) -> [u32; 2] {
    let number = |name: &str| answer.header(name).parse().unwrap();
    [number("x-ratelimit-limit"), number("x-ratelimit-remaining")]
}

#[track_caller]
fn states_no_limit(answer: &Answer) {
    assert!(HEADERS.iter().all(|name| !answer.headers.contains_key(*name)), "{answer:?}");
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A refusal, whose headers agree on when the next request is allowed.
#[track_caller]
fn refused(answer: &Answer, within_seconds: u64) {
    answer.problem(429, "RATE_LIMITED");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=within_seconds).contains(&wait), "{wait}");
    let reset: u64 = answer.header("x-ratelimit-reset").parse().unwrap();
    // The service's clock was read earlier.
    assert!((now() + wait - 2..=now() + wait + 1).contains(&reset), "{reset} {wait}");
    assert_eq!(answer.header("x-ratelimit-remaining"), "0");
    let state = answer.header("ratelimit");
    assert!(state.contains(&format!(";r=0;t={wait}")), "{state}");
}

#[test]
fn each_answer_states_the_limit_of_its_token() {
    let (server, _folder) = on_plan("token");
    let (_, other) = server.api().token(&["links:read"]);
    // Errors count, and state the limits, too.
    let expected = [("/links", 200), ("/links/none", 404), ("/links?page=0", 400), ("/links", 200)];
    for (remaining, (path, status)) in [3, 2, 1, 0].into_iter().zip(expected) {
        let answer = server.api().get(path).expect(status);
        assert_eq!(limit_and_remaining(&answer), [5, remaining]);
        assert_eq!(answer.header("ratelimit-policy"), "\"default\";q=5;w=60");
        let state = answer.header("ratelimit");
        assert!(state.starts_with(&format!("\"default\";r={remaining};t=")), "{state}");
        let reset: u64 = answer.header("x-ratelimit-reset").parse().unwrap();
        assert!((now()..=now() + 61).contains(&reset), "{reset}");
    }
    for _ in 0..3 {
        let answer = server.api().get("/links");
        refused(&answer, 60);
        assert_eq!(answer.header("ratelimit-policy"), "\"default\";q=5;w=60");
        let detail = answer.json()["detail"].clone();
        assert!(detail.as_str().unwrap().contains("5 requests per minute and token"), "{detail}");
    }
    // Another token has a window of its own, and so has what it may not do.
    let forbidden = server.api_as(&other).post("/links", &json!({})).expect(403);
    assert_eq!(limit_and_remaining(&forbidden), [5, 4]);
    // Without a valid credential there is no plan.
    for answer in [
        server.api_as("slk_unknown").get("/links").expect(401),
        server.get("/api/v1/links").expect(401),
        public(&server, "/auth/login", &json!({ "email": "a@b.example", "password": "x" })),
        server.get("/livez"),
    ] {
        states_no_limit(&answer);
    }
    states_no_limit(&operator(&server).get("/admin/workspaces"));
    // The next request is under the new plan, with what was counted.
    assign(&server, "larger");
    for remaining in [2, 1, 0] {
        let answer = server.api().get("/links").expect(200);
        assert_eq!(limit_and_remaining(&answer), [8, remaining]);
    }
    refused(&server.api().get("/links"), 60);
    assign(&server, "unlimited");
    for _ in 0..10 {
        states_no_limit(&server.api().get("/links").expect(200));
    }
}

#[test]
fn the_tokens_and_sessions_of_a_user_count_together() {
    let (server, _folder) = with_default("user");
    let (ada, bob) = (User::new(&server, "ada"), User::new(&server, "bob"));
    let workspace = ada.workspace(&server, "Shared");
    ada.add(&server, &workspace, &bob, "member");
    // What is in a workspace of its own does not count here.
    let shared = |credential: &str| {
        let request = server.request(Method::GET, "/api/v1/links").bearer_auth(credential);
        Answer::to(request.header("x-workspace", &workspace))
    };
    let body = json!({ "name": "ada's", "abilities": ["links:read"] });
    let (_, token) = ada.token(&server, &workspace, &body);
    let state = |answer: &Answer| limit_and_remaining(answer);
    // Inviting and creating the token were two of the workspace.
    let browser = Browser::new(&server, &ada.email);
    let cookie = browser.bare(&server, Method::GET, "/links").header("x-workspace", &workspace);
    assert_eq!(state(&shared(&token).expect(200)), [4, 1]);
    let answer = Answer::to(cookie).expect(200);
    assert_eq!(state(&answer), [4, 0]);
    let policy = "\"user-minute\";q=4;w=60, \"workspace-hour\";q=6;w=3600";
    assert_eq!(answer.header("ratelimit-policy"), policy);
    assert!(answer.header("ratelimit").contains("\"workspace-hour\";r=2;t="), "{answer:?}");
    for credential in [&ada.jwt, &token] {
        refused(&shared(credential), 60);
    }
    // Another user has a window, but the workspace's is shared.
    for remaining in [1, 0] {
        assert_eq!(state(&shared(&bob.jwt).expect(200)), [6, remaining]);
    }
    let answer = shared(&bob.jwt);
    refused(&answer, 3_600);
    assert!(answer.header("ratelimit").starts_with("\"user-minute\";r=2;t="), "{answer:?}");
}

#[test]
fn heavy_requests_have_a_limit_of_their_own() {
    let (server, _folder) = on_plan("heavy");
    let import = || {
        let request = server.api().request(Method::POST, "/imports?format=csv&dry_run=true");
        let request = request.header("content-type", "text/csv");
        Answer::to(request.body("destination\nhttps://example.com/\n"))
    };
    for remaining in [1, 0] {
        let answer = import();
        assert_ne!(answer.status, 429);
        assert_eq!(limit_and_remaining(&answer), [2, remaining]);
        assert_eq!(answer.header("ratelimit-policy"), "\"token-heavy-minute\";q=2;w=60");
    }
    refused(&import(), 60);
    for _ in 0..5 {
        states_no_limit(&server.api().get("/links").expect(200));
    }
}

#[test]
fn clients_at_the_limit_get_exactly_what_it_allows() {
    let (server, _folder) = on_plan("burst");
    let allowed = count(&server, 8, 25, 200, 429);
    assert_eq!(allowed, 100);
}

/// The number of requests with one status, of so many by each of some clients; all others are of
/// the other one.
fn count(server: &Server, clients: usize, requests: usize, status: u16, other: u16) -> usize {
    let allowed = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                for _ in 0..requests {
                    let answer = server.api().get("/links");
                    assert!([status, other].contains(&answer.status), "{answer:?}");
                    allowed.fetch_add(usize::from(answer.status == status), Ordering::Relaxed);
                }
            });
        }
    });
    allowed.into_inner()
}

fn calls(server: &Server) -> Value {
    used(server, "api_calls_per_month")["used"].clone()
}

#[track_caller]
fn await_calls(server: &Server, count: u64) {
    eventually("the calls are written", || (calls(server) == count).then_some(()));
}

#[test]
fn calls_beyond_the_monthly_limit_are_refused() {
    let (server, folder) = on_plan("calls");
    for _ in 0..5 {
        server.api().get("/links").expect(200);
    }
    let refused = server.api().get("/links");
    let problem = refused.problem(402, "INSUFFICIENT_CREDITS");
    assert_eq!(problem["limit"], "api_calls_per_month");
    assert_eq!(problem["recommended"], json!({ "id": "more", "name": "More", "limit": 700 }));
    // What is used can still be seen, with the API too. It does not count.
    await_calls(&server, 5);
    for path in ["/user/limits", "/billing/usage", "/billing/plans", "/billing/credits"] {
        server.api().get(path).expect(200);
    }
    server.api().get("/links").problem(402, "INSUFFICIENT_CREDITS");
    // A restart forgets none of it.
    let data = server.data.clone();
    assert!(server.stop().success());
    let server = options(&folder, PLANS).with_data(&data).start();
    server.api().get("/links").problem(402, "INSUFFICIENT_CREDITS");
    set_plan(&server, &json!({ "plan": "calls", "overrides": { "api_calls_per_month": 7 } }))
        .expect(200);
    server.api().get("/links").expect(200);
    server.api().get("/links").expect(200);
    server.api().get("/links").problem(402, "INSUFFICIENT_CREDITS");
    // Calls that were not written yet are written at the end.
    assert!(server.stop().success());
    let events = data.dump("mutations");
    let counted = events.iter().filter(|event| event["kind"] == "ApiCallsCounted");
    let counted: u64 = counted.map(|event| event["event"]["calls"].as_u64().unwrap()).sum();
    assert_eq!(counted, 7);
}

/// The limit is reached by many clients, while calls are written and the plan changes.
#[test]
fn the_monthly_limit_is_exact_among_clients() {
    let (server, _folder) = on_plan("more");
    assert_eq!(count(&server, 8, 100, 200, 402), 700);
    await_calls(&server, 700);
    set_plan(&server, &json!({ "plan": "more", "overrides": { "api_calls_per_month": 1_000 } }))
        .expect(200);
    assert_eq!(count(&server, 8, 50, 200, 402), 300);
}

#[test]
fn a_kill_loses_only_calls_that_are_not_written_yet() {
    let (server, folder) = on_plan("more");
    for _ in 0..20 {
        server.api().get("/links").expect(200);
    }
    await_calls(&server, 20);
    server.signal(Signal::KILL);
    let data = server.data.clone();
    drop(server);
    let server = options(&folder, PLANS).with_data(&data).start();
    assert_eq!(calls(&server), 20);
}

/// The dashboard's requests are no calls.
#[test]
fn requests_of_apps_are_counted_but_not_those_of_browsers() {
    let (server, _folder) = start(PLANS);
    let ada = User::new(&server, "ada");
    let body = json!({ "name": "ada's", "abilities": ["*"] });
    let made = ada.api(&server).post("/tokens", &body).expect(201).data();
    let token = made["token"].as_str().unwrap();
    let browser = Browser::new(&server, &ada.email);
    for _ in 0..3 {
        browser.get(&server, "/links").expect(200);
        server.api_as(token).get("/links").expect(200);
    }
    let calls = || ada.api(&server).get("/user/limits").data()["usage"].clone();
    eventually("the calls are written", || {
        (calls()["api_calls_per_month"]["used"] == 4).then_some(())
    });
    let none = server.api().get("/user/limits").data()["usage"]["api_calls_per_month"].clone();
    assert_eq!((&none["used"], &none["limit"]), (&json!(0), &Value::Null));
}
