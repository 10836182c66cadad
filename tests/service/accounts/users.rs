//! Users who are deleted, and what is left of them.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use slugline::log::{DiskStorage, LocalLog, LogOptions};
use slugline::projections::index::Index;

use super::{Browser, PASSWORD, User, login, operator, text};
use crate::harness::{Answer, DataFolder, Options, Server, slugline};

/// The digest of the index of a stopped service, as stored or rebuilt.
fn digest(data: &DataFolder, rebuilt: bool) -> [u8; 32] {
    let log = data.path().join("log/mutations");
    let log = LocalLog::open(Arc::new(DiskStorage), &log, LogOptions::default()).unwrap();
    let folder = data.path().join("index");
    let index = if rebuilt {
        Index::rebuild_folder(&folder, &log, &|_, _| {})
    } else {
        Index::open(&folder, &log)
    };
    index.unwrap().digest().unwrap()
}

fn delete(server: &Server, user: &User, password: &str) -> Answer {
    let request = user.api(server).request(Method::DELETE, "/user");
    Answer::to(request.json(&json!({ "password": password })))
}

#[track_caller]
fn is_nowhere(data: &DataFolder, texts: &[&str]) {
    for (path, bytes) in data.files() {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        for one in texts {
            assert!(!text.contains(one), "{} holds {one}", path.display());
        }
    }
}

#[test]
fn an_owner_of_a_shared_workspace_stays() {
    let server = Options::links_only().start();
    let (ada, bob) = (User::new(&server, "ada"), User::new(&server, "bob"));
    let workspace = ada.workspace(&server, "Shared");
    ada.add(&server, &workspace, &bob, "admin");
    delete(&server, &ada, "a wrong password").problem(403, "FORBIDDEN");
    let refused = delete(&server, &ada, PASSWORD).problem(409, "CONFLICT");
    assert!(refused["detail"].as_str().unwrap().contains(&workspace), "{refused}");
    operator(&server).delete(&format!("/admin/users/{}", ada.id)).problem(409, "CONFLICT");
    ada.api(&server).get("/user").expect(200);
    let (_, secret) = bob.api(&server).token(&["user:read", "user:write"]);
    let request = server.api_as(secret).request(Method::DELETE, "/user");
    Answer::to(request.json(&json!({ "password": PASSWORD }))).problem(403, "FORBIDDEN");
    // A transfer makes the way free.
    let transfer = format!("/workspaces/{workspace}/transfer");
    ada.api(&server).post(&transfer, &json!({ "user": bob.id })).expect(200);
    bob.api(&server).post(&format!("{transfer}/accept"), &json!({})).expect(200);
    delete(&server, &ada, PASSWORD).expect(204);
    let members = bob.api(&server).get(&format!("/workspaces/{workspace}/members")).data();
    assert_eq!(members.as_array().unwrap().len(), 1, "{members}");
    let found = bob.api(&server).get(&format!("/workspaces/{workspace}")).data();
    assert_eq!(found["members"], 1);
}

/// The address, the name and the password of a deleted user are nowhere: in no answer, and in no
/// file. Before the deletion they are in no file either.
#[test]
fn of_a_deleted_user_nothing_personal_is_left() {
    let options = Options::links_only();
    let server = options.start();
    let owner = User::new(&server, "owner");
    let workspace = owner.workspace(&server, "Shared");
    let zebra = User::new(&server, "zebra-quagga");
    owner.add(&server, &workspace, &zebra, "member");
    let (_, secret) =
        zebra.token(&server, &workspace, &json!({ "name": "t", "abilities": ["links:read"] }));
    let browser = Browser::new(&server, &zebra.email);
    let rename = browser.request(&server, Method::PATCH, "/user");
    Answer::to(rename.json(&json!({ "name": "Okapi Giraffe" }))).expect(200);
    let link = json!({ "destination": "https://example.com/landing" });
    zebra.within(&server, &workspace, "POST", "/links", &link).expect(201);
    login(&server, &zebra.email, "a wrong password").expect(401);
    let (_, open) = owner.invite(&server, &workspace, "quagga-guest@example.com", "viewer");
    let personal = ["zebra-quagga", "okapi", "quagga-guest", PASSWORD, "$argon2"];
    is_nowhere(&options.data, &personal);

    delete(&server, &zebra, PASSWORD).expect(204);
    for dead in [zebra.jwt.as_str(), &secret] {
        server.api_as(dead).get("/links").problem(401, "INVALID_API_KEY");
    }
    browser.get(&server, "/user").problem(401, "INVALID_API_KEY");
    login(&server, &zebra.email, PASSWORD).problem(401, "INVALID_API_KEY");
    let base = format!("/workspaces/{workspace}");
    for path in [
        "/links",
        "/tokens",
        "/audit",
        "/workspaces",
        &base,
        &format!("{base}/members"),
        &format!("{base}/invitations"),
    ] {
        let answer = owner.within(&server, &workspace, "GET", path, &json!({})).expect(200);
        let text = answer.text.to_lowercase();
        assert!(!text.contains("zebra-quagga") && !text.contains("okapi"), "{path}: {text}");
    }
    let users = operator(&server).get("/admin/users").expect(200);
    assert!(!users.text.contains("zebra") && !users.text.contains(&zebra.id), "{}", users.text);
    // The address is free for another account.
    let again = User::new(&server, "zebra-quagga");
    assert_ne!(again.id, zebra.id);
    again.api(&server).get(&base).problem(404, "NOT_FOUND");
    delete(&server, &again, PASSWORD).expect(204);
    assert!(!open.is_empty());
    let log = server.stop_for_log().join("\n").to_lowercase();
    assert!(!log.contains("zebra-quagga"), "the log names the user");
    is_nowhere(&options.data, &personal);
    whole(&options.data);
    let server = options.start();
    login(&server, &zebra.email, PASSWORD).problem(401, "INVALID_API_KEY");
    let users = operator(&server).get("/admin/users").expect(200).text;
    assert!(!users.contains("zebra"), "{users}");
}

/// The log is sound, its dump names nobody, and the index rebuilt from it is the same.
fn whole(data: &DataFolder) {
    let verified = data.log_command(&["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let dump = data.log_command(&["dump", "mutations"]);
    assert!(dump.status.success());
    let text = String::from_utf8_lossy(&dump.stdout).to_lowercase();
    assert!(!text.contains("zebra-quagga") && !text.contains(PASSWORD) && text.len() > 1_000);
    let kept = digest(data, false);
    let rebuilt = slugline().args(["rebuild", "index", "--data-dir"]).arg(data.path()).output();
    assert!(rebuilt.unwrap().status.success());
    assert_eq!(digest(data, false), kept);
    assert_eq!(digest(data, true), kept);
}

/// What a superadmin does as the operator has a name; what the key does has none.
#[test]
fn acts_of_a_superadmin_are_logged_with_the_name() {
    let server = Options::links_only().start();
    let root = User::new(&server, "root");
    let role = json!({ "role": "SUPERADMIN" });
    operator(&server).patch(&format!("/admin/users/{}", root.id), &role).expect(200);
    let root = User { jwt: super::jwt(&server, &root.email, PASSWORD), ..root };
    let workspace = text(&server.api().get("/workspaces").data()[0], "id");
    let tokens = format!("/admin/tokens?workspace={workspace}");
    let token = json!({ "name": "ci", "abilities": ["links:read"] });
    let mut expected = Vec::new();
    for (api, name) in [(root.api(&server), json!(root.id)), (operator(&server), Value::Null)] {
        let made = api.post(&tokens, &token).expect(201).data();
        assert_eq!(made["user"], Value::Null, "a machine token");
        server.api_as(text(&made, "token")).get("/links").expect(200);
        api.delete(&format!("/admin/tokens/{}", text(&made, "id"))).expect(204);
        let member = json!({ "email": format!("{}@example.com", made["id"]).replace('"', ""),
            "password": PASSWORD, "workspace": workspace });
        api.post("/admin/users", &member).expect(201);
        expected.splice(
            0..0,
            ["member.added", "token.revoked", "token.created"]
                .map(|action| (json!(action), name.clone())),
        );
    }
    let audit = server.api().get("/audit?limit=6").expect(200).data();
    let audit = audit.as_array().unwrap().iter();
    let found: Vec<_> =
        audit.map(|entry| (entry["action"].clone(), entry["user"].clone())).collect();
    assert_eq!(found, expected);
}

/// A page of a list, and the number of items on all pages.
#[track_caller]
fn page(api: &crate::harness::Api<'_>, path: &str, query: &str) -> (usize, u64) {
    let body = api.get(&format!("{path}?{query}")).expect(200).json();
    assert!(body["meta"]["page"].is_u64() && body["meta"]["limit"].is_u64(), "{body}");
    (body["data"].as_array().unwrap().len(), body["meta"]["total"].as_u64().unwrap())
}

#[test]
fn lists_have_pages() {
    let server = Options::links_only().start();
    let (ada, bob) = (User::new(&server, "ada"), User::new(&server, "bob"));
    let workspace = ada.workspace(&server, "Shared");
    ada.add(&server, &workspace, &bob, "viewer");
    for name in ["x", "y"] {
        ada.invite(&server, &workspace, &format!("{name}@example.com"), "viewer");
        ada.api(&server).post("/tokens", &json!({ "name": name, "abilities": ["*"] })).expect(201);
    }
    let of_ada = ada.api(&server);
    let (base, personal) = (format!("/workspaces/{workspace}"), ada.id.replace("user_", "ws_"));
    operator(&server).get(&format!("/admin/tokens?workspace={personal}")).expect(400);
    for (path, total) in [
        ("/workspaces".to_owned(), 2),
        (format!("{base}/members"), 2),
        (format!("{base}/invitations"), 2),
        ("/tokens".to_owned(), 2),
    ] {
        assert_eq!(page(&of_ada, &path, "limit=1"), (1, total), "{path}");
        assert_eq!(page(&of_ada, &path, "limit=1&page=2"), (1, total), "{path}");
        assert_eq!(page(&of_ada, &path, "limit=1&page=3"), (0, total), "{path}");
        assert_eq!(page(&of_ada, &path, ""), (2, total), "{path}");
        of_ada.get(&format!("{path}?limit=101")).refuses(400, "VALIDATION_ERROR", &["limit"]);
        of_ada.get(&format!("{path}?lmit=1")).refuses(400, "VALIDATION_ERROR", &["lmit"]);
    }
    assert_eq!(page(&operator(&server), "/admin/users", "limit=2&page=2"), (1, 3));
    let only = text(&server.api().get("/workspaces").data()[0], "id");
    let tokens = format!("workspace={only}&limit=1");
    assert_eq!(page(&operator(&server), "/admin/tokens", &tokens), (1, 1));
    // The command lists all pages.
    for number in 0..20 {
        super::add_user(&server, &json!({ "email": format!("{number}@example.com") }));
    }
    let mut command = slugline();
    command.args(["user", "list", "--json", "--data-dir"]).arg(server.data.path());
    let list: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 23);
}

/// The command of the operator.
#[test]
fn users_are_managed_by_the_command() {
    let server = Options::links_only().start();
    let run = |arguments: &[&str]| {
        let mut command = slugline();
        command.arg("user").args(arguments).arg("--data-dir").arg(server.data.path());
        command.output().unwrap()
    };
    let said = |arguments: &[&str]| {
        let output = run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    };
    let link = said(&["create", "--email", "ada@example.com", "--name", "Ada"]);
    let reset = json!({ "token": super::link_token(&link), "password": PASSWORD });
    super::public(&server, "/auth/reset-password", &reset).expect(200);
    login(&server, "ada@example.com", PASSWORD).expect(200);
    let list: Value = serde_json::from_str(&said(&["list", "--json"])).unwrap();
    let ada = list.as_array().unwrap().iter().find(|user| user["name"] == "Ada").unwrap();
    assert_eq!((&ada["role"], &ada["blocked"]), (&json!("USER"), &json!(false)));
    let id = text(ada, "id");
    assert!(!run(&["create", "--email", "ADA@example.com"]).status.success());
    said(&["block", &id]);
    login(&server, "ada@example.com", PASSWORD).problem(403, "FORBIDDEN");
    said(&["unblock", &id]);
    let link = said(&["link", &id]);
    assert!(link.starts_with(&server.base), "{link}");
    said(&["delete", &id]);
    login(&server, "ada@example.com", PASSWORD).problem(401, "INVALID_API_KEY");
    assert!(!run(&["delete", &id]).status.success());
}
