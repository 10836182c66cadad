//! Plans, usage and credits: a catalogue, what it allows, and what is used.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::accounts::operator;
use crate::harness::{Answer, Options, Server, eventually, slugline};

pub const PLANS: &str = r#"
[[plans]]
id = "acme/free"
name = "Free"
kinds = ["url"]
features = ["api", "custom_slugs"]
limits = { links_per_month = 5, clicks_per_month = 2, members = 1 }

[[plans]]
id = "acme/core"
name = "Core"
price = { amount = "8", currency = "EUR", interval = "month" }
limits = { links_per_month = 100 }
"#;

/// A server with a catalogue, and the catalogue's folder.
pub fn start(plans: &str) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (options(&folder, plans).start(), folder)
}

pub fn options(folder: &tempfile::TempDir, plans: &str) -> Options {
    let file = folder.path().join("plans.toml");
    fs::write(&file, plans).unwrap();
    Options::links_only().flag("--plans", &file)
}

fn workspace(server: &Server) -> String {
    let all = operator(server).get("/admin/workspaces?limit=100").data();
    let all = all.as_array().unwrap();
    let found = all.iter().find(|workspace| workspace["name"] == "default");
    found.unwrap()["id"].as_str().unwrap().to_owned()
}

pub fn set_plan(server: &Server, body: &Value) -> Answer {
    operator(server).put(&format!("/admin/workspaces/{}/plan", workspace(server)), body)
}

pub fn grant(server: &Server, body: &Value) -> Answer {
    operator(server).post(&format!("/admin/workspaces/{}/credits", workspace(server)), body)
}

pub fn create(server: &Server) -> Answer {
    server.api().post("/links", &json!({ "destination": "https://example.com/" }))
}

pub fn used(server: &Server, limit: &str) -> Value {
    server.api().get("/billing/usage").data()["usage"][limit].clone()
}

fn balance(server: &Server) -> Value {
    server.api().get("/billing/credits").data()[0]["balance"].clone()
}

#[test]
fn a_plan_and_credits_allow_links_until_they_are_used_up() {
    let (server, _folder) = start(PLANS);
    let unlimited = used(&server, "links_per_month");
    assert_eq!((&unlimited["limit"], &unlimited["unlimited"]), (&Value::Null, &json!(true)));
    let calls = used(&server, "api_calls_per_month");
    assert_eq!(calls["used"], Value::Null, "no plan limits them");
    let changed = set_plan(&server, &json!({ "plan": "acme/free" })).expect(200).data();
    assert_eq!(changed["plan"], "acme/free");
    for _ in 0..5 {
        create(&server).expect(201);
    }
    let problem = create(&server).problem(402, "INSUFFICIENT_CREDITS");
    assert_eq!(problem["limit"], "links_per_month");
    let recommended = json!({ "id": "acme/core", "name": "Core", "limit": 100 });
    assert_eq!(problem["recommended"], recommended);
    assert!(problem["detail"].as_str().unwrap().contains("5 new links per month"), "{problem}");

    let granted = grant(&server, &json!({ "kind": "links", "amount": 1, "note": "Sorry" }));
    let granted = granted.expect(201).data();
    assert_eq!(balance(&server), 1);
    let link = create(&server).expect(201).data();
    create(&server).problem(402, "INSUFFICIENT_CREDITS");
    let ledger = server.api().get("/billing/ledger").data();
    let entry = |place: usize| {
        let entry = &ledger[place];
        json!([entry["entry"], entry["amount"], entry["balance"], entry["subject"], entry["note"]])
    };
    assert_eq!(entry(0), json!(["debited", -1, 0, link["id"], null]));
    assert_eq!(entry(1), json!(["granted", 1, 1, granted["id"], "Sorry"]));

    let expected = json!({
        "used": 6, "limit": 5, "remaining": 0, "over": 1, "unlimited": false, "credits": 0
    });
    assert_eq!(used(&server, "links_per_month"), expected);
    let limits = server.api().get("/user/limits").data();
    assert_eq!(limits["usage"]["links_per_month"], expected);
    assert_eq!(limits["plan"]["name"], "Free");

    set_plan(&server, &json!({ "plan": "acme/core" })).expect(200);
    create(&server).expect(201);
    let overridden = json!({ "plan": "acme/core", "overrides": { "links_per_month": 7 } });
    set_plan(&server, &overridden).expect(200);
    create(&server).problem(402, "INSUFFICIENT_CREDITS");
    set_plan(&server, &json!({ "plan": null })).expect(200);
    create(&server).expect(201);

    // The same by counting in the log.
    let data = server.data.clone();
    assert!(server.stop().success());
    let created = data.dump("mutations").into_iter().filter(|event| event["kind"] == "LinkCreated");
    assert_eq!(created.count(), 8);
}

/// Many clients race for the last links and credits while the service is killed: never more than
/// are allowed, and each credit once.
#[test]
fn a_limit_is_exact_across_kills() {
    const ALLOWED: usize = 30;
    const CREDITS: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let mut server = options(&folder, PLANS).start();
    let body = json!({ "plan": "acme/free", "overrides": { "links_per_month": ALLOWED } });
    set_plan(&server, &body).expect(200);
    grant(&server, &json!({ "kind": "links", "amount": CREDITS })).expect(201);
    for round in 0..4 {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..8 {
                        let body = json!({ "destination": "https://example.com/" });
                        let request = server.api().request(reqwest::Method::POST, "/links");
                        // The service may be killed meanwhile.
                        let _answer = request.json(&body).send();
                    }
                });
            }
            if round < 3 {
                server.signal(Signal::KILL);
            }
        });
        let data = server.data.clone();
        drop(server);
        server = options(&folder, PLANS).with_data(&data).start();
    }
    while create(&server).status == 201 {}
    assert_eq!(used(&server, "links_per_month")["used"], ALLOWED + CREDITS);
    assert_eq!(balance(&server), 0);
    let data = server.data.clone();
    assert!(server.stop().success());
    let events = data.dump("mutations");
    let created: Vec<_> = events.iter().filter(|event| event["kind"] == "LinkCreated").collect();
    let paid = created.iter().filter(|event| event["debit"]["amount"] == 1).count();
    assert_eq!((created.len(), paid), (ALLOWED + CREDITS, CREDITS));
}

#[test]
fn a_catalogue_is_read_again_on_a_hangup() {
    let (server, folder) = start(PLANS);
    set_plan(&server, &json!({ "plan": "acme/free" })).expect(200);
    let file = folder.path().join("plans.toml");
    let reload = |plans: &str| {
        fs::write(&file, plans).unwrap();
        server.signal(Signal::HUP);
    };
    let limit = || used(&server, "links_per_month")["limit"].clone();
    reload(&PLANS.replace("links_per_month = 5", "links_per_month = 6"));
    eventually("the catalogue is read again", || (limit() == 6).then_some(()));
    reload("limits = -5");
    reload(&PLANS.replace("links_per_month = 5", "links_per_month = 7"));
    eventually("the catalogue is read again", || (limit() == 7).then_some(()));
    // The plan of a known caller, too.
    let rate = || server.api().get("/links").headers.get("x-ratelimit-limit").cloned();
    assert_eq!(rate(), None);
    let limited = "rates = [{ per = \"token\", requests = 900, window = \"minute\" }]\nkinds";
    reload(&PLANS.replacen("kinds", limited, 1));
    eventually("the catalogue is read again", || rate().filter(|limit| limit == "900").map(drop));
    set_plan(&server, &json!({ "plan": "acme/core" })).expect(200);
    assert_eq!(rate(), None, "the next request is under the new plan");
    reload("default = 'other'\n[[plans]]\nid = 'other'\nname = 'Other'\nlimits = { links = 1 }");
    eventually("the default plan applies", || {
        (server.api().get("/user/limits").data()["plan"]["id"] == "other").then_some(())
    });
    let mut log = server.stop_for_log();
    log.retain(|line| line.contains("no such plan: the default one applies"));
    let is_named = |line: &String| line.contains("acme/core") && line.contains("\"workspaces\":1");
    assert!(log.iter().any(is_named), "{log:?}");
}

#[test]
fn a_wrong_catalogue_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |plans: &str| {
        let output = options(&folder, plans).command().output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let error = refused("[[plans]]\nid = 'a'\nname = 'A'\ncolour = 1\n");
    assert!(error.contains("plans.toml") && error.contains("line 4"), "{error}");
    assert!(error.contains("colour"), "{error}");
    let twice = "[[plans]]\nid = 'a'\nname = 'A'\n";
    let error = refused(&format!("{twice}{twice}"));
    assert!(error.contains("line 5") && error.contains("a second time"), "{error}");
}

/// The plans that are listed are those of the product of the workspace's plan.
#[test]
fn the_plans_of_the_own_product_are_listed() {
    let (server, _folder) = start(&format!("{PLANS}[[plans]]\nid = 'zeta/free'\nname = 'Z'\n"));
    for (plan, expected) in [
        ("unlimited", &["unlimited"][..]),
        ("acme/core", &["acme/free", "acme/core"]),
        ("zeta/free", &["zeta/free"]),
    ] {
        set_plan(&server, &json!({ "plan": plan })).expect(200);
        let plans = server.api().get("/billing/plans").data();
        let ids: Vec<_> = plans.as_array().unwrap().iter().map(|plan| &plan["id"]).collect();
        assert_eq!(ids, expected);
    }
}

/// The examples of catalogues are valid.
#[test]
fn the_examples_of_catalogues_are_accepted() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/plans");
    let mut files: Vec<PathBuf> =
        fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 4);
    let folder = tempfile::tempdir().unwrap();
    let default = |file: &Path| {
        let server = options(&folder, &fs::read_to_string(file).unwrap()).start();
        server.api().get("/user/limits").data()["plan"]["id"].as_str().unwrap().to_owned()
    };
    let defaults: Vec<_> = files.iter().map(|file| default(file)).collect();
    assert_eq!(defaults, ["linktj/free", "lynklens/starter", "qklnk/standard", "shortlink/free"]);
}

#[test]
fn a_plan_lacks_the_api_and_imports() {
    let plans = "[[plans]]\nid = 'web'\nname = 'Web'\nfeatures = []\n\
                 [[plans]]\nid = 'small'\nname = 'Small'\nfeatures = ['api']\n";
    let (server, _folder) = start(plans);
    set_plan(&server, &json!({ "plan": "small" })).expect(200);
    let csv = "destination\nhttps://example.com/\n";
    let request = server.api().request(reqwest::Method::POST, "/imports?format=csv");
    let request = request.header("content-type", "text/csv").body(csv);
    Answer::to(request).problem(403, "FEATURE_NOT_AVAILABLE");
    let named = json!({ "destination": "https://example.com/", "slug": "mine" });
    server.api().post("/links", &named).refuses(403, "FEATURE_NOT_AVAILABLE", &["slug"]);
    let link = create(&server).expect(201).data();
    let path = format!("/links/{}", link["id"].as_str().unwrap());
    server.api().delete(&path).expect(204);
    let restore = format!("{path}/restore");
    let renamed = server.api().post(&restore, &json!({ "slug": "mine" }));
    renamed.refuses(403, "FEATURE_NOT_AVAILABLE", &["slug"]);
    server.api().post(&restore, &json!({})).expect(200);
    server.api().get("/analytics/export?format=csv").problem(403, "FEATURE_NOT_AVAILABLE");
    server.api().post("/exports", &json!({})).problem(403, "FEATURE_NOT_AVAILABLE");
    set_plan(&server, &json!({ "plan": "web" })).expect(200);
    server.api().get("/links").problem(403, "FEATURE_NOT_AVAILABLE");
    server.visit_path("/nowhere").send().expect(404);
}

#[test]
fn wrong_plans_and_credits_are_refused() {
    let (server, _folder) = start(PLANS);
    set_plan(&server, &json!({ "plan": "none" })).refuses(400, "VALIDATION_ERROR", &["plan"]);
    let unknown = json!({ "plan": "acme/free", "overrides": { "slugs": 1 } });
    set_plan(&server, &unknown).refuses(400, "VALIDATION_ERROR", &["overrides"]);
    let negative = json!({ "plan": "acme/free", "overrides": { "links": -1 } });
    set_plan(&server, &negative).expect(400);
    set_plan(&server, &json!({})).refuses(400, "VALIDATION_ERROR", &["plan"]);
    for (body, field) in [
        (json!({ "kind": "links", "amount": 0 }), "amount"),
        (json!({ "kind": "links", "amount": -3 }), "amount"),
        (json!({ "kind": "wishes", "amount": 1 }), "kind"),
        (
            json!({ "kind": "links", "amount": 1, "expires_at": "2020-01-01T00:00:00Z" }),
            "expires_at",
        ),
        (json!({ "kind": "links", "amount": 1, "expires_at": "soon" }), "expires_at"),
    ] {
        grant(&server, &body).refuses(400, "VALIDATION_ERROR", &[field]);
    }
    let nowhere = "/admin/workspaces/ws_01kaj9m3v8e9qrs4t5v6w7x8y9";
    operator(&server).put(&format!("{nowhere}/plan"), &json!({ "plan": null })).expect(404);
    let path = format!("/admin/workspaces/{}/plan", workspace(&server));
    server.api().put(&path, &json!({ "plan": null })).problem(403, "FORBIDDEN");
    assert_eq!(balance(&server), 0);
}

#[test]
fn grants_are_repeated_with_an_idempotency_key() {
    let (server, _folder) = start(PLANS);
    let path = format!("/admin/workspaces/{}/credits", workspace(&server));
    let send = || {
        let request = operator(&server).request(reqwest::Method::POST, &path);
        let body = json!({ "kind": "links", "amount": 5 });
        Answer::to(request.header("idempotency-key", "grant-1").json(&body)).expect(201).data()
    };
    assert_eq!(send()["id"], send()["id"]);
    assert_eq!(balance(&server), 5);
}

#[test]
fn the_command_line_sets_plans_and_grants_credits() {
    let (server, _folder) = start(PLANS);
    let id = workspace(&server);
    let run = |arguments: &[&str]| {
        let mut command = slugline();
        command.arg("workspace").args(arguments).arg("--data-dir").arg(server.data.path());
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    };
    let set =
        ["plan", &id, "acme/free", "--set", "links_per_month=1", "--set", "members=unlimited"];
    assert_eq!(run(&set), (true, format!("{id} has the plan acme/free\n")));
    create(&server).expect(201);
    create(&server).expect(402);
    let (is_done, text) = run(&["credits", &id, "links", "2", "--note", "Welcome"]);
    assert!(is_done && text.starts_with("granted 2 credits for links: grant_"), "{text}");
    create(&server).expect(201);
    let (is_done, text) = run(&["list"]);
    assert!(is_done && text.contains(&format!("{id}\tacme/free\t")), "{text}");
    let (is_done, text) = run(&["plan", &id, "acme/none"]);
    assert!(!is_done && text.contains("must be one of"), "{text}");
    assert!(!run(&["plan", &id, "acme/free", "--set", "links=-1"]).0);
    let twice = ["plan", &id, "acme/free", "--set", "links=1", "--set", "links=2"];
    let (is_done, text) = run(&twice);
    assert!(!is_done && text.contains("--set links is given twice"), "{text}");
    let (_, text) = run(&["list"]);
    assert!(text.contains(&format!("{id}\tacme/free\t")), "unchanged: {text}");
    assert_eq!(run(&["plan", &id, "default"]), (true, format!("{id} has the plan unlimited\n")));
}

/// Open invitations take the places of members.
#[test]
fn members_are_limited() {
    let (server, _folder) = start(PLANS);
    let id = workspace(&server);
    set_plan(&server, &json!({ "plan": "acme/free", "overrides": { "members": 2 } })).expect(200);
    let members = used(&server, "members")["used"].as_u64().unwrap();
    assert_eq!(members, 1, "the superadmin of the first start");
    let invite = |email: &str| {
        let body = json!({ "invitations": [{ "email": email, "role": "member" }] });
        server.api().post(&format!("/workspaces/{id}/invitations"), &body)
    };
    let sent = invite("ada@example.com");
    assert!(sent.status < 300, "{}", sent.text);
    let refused = invite("bob@example.com");
    refused.problem(402, "INSUFFICIENT_CREDITS");
    // Of several, those that have a place are sent.
    set_plan(&server, &json!({ "plan": "acme/free", "overrides": { "members": 3 } })).expect(200);
    let both = ["cai@example.com", "dan@example.com"]
        .map(|email| json!({ "email": email, "role": "member" }));
    let path = format!("/workspaces/{id}/invitations");
    let sent = server.api().post(&path, &json!({ "invitations": both })).expect(201).data();
    assert!(sent[0]["invitation"]["link"].is_string() && sent[0]["error"].is_null(), "{sent}");
    assert_eq!(sent[1]["error"]["code"], "INSUFFICIENT_CREDITS");
}

/// Clicks beyond the limit are redirected, and shown as such.
#[test]
fn clicks_beyond_the_limit_are_redirected_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plans.toml");
    fs::write(&file, PLANS).unwrap();
    let server = Options::new().flag("--plans", &file).start();
    set_plan(&server, &json!({ "plan": "acme/free" })).expect(200);
    let link = server.link();
    for _ in 0..5 {
        assert_eq!(server.visit(&link).send().status, 302);
    }
    server.await_clicks(&link, 5);
    let used = used(&server, "clicks_per_month");
    assert_eq!((&used["used"], &used["over"]), (&json!(5), &json!(3)));
}
