//! Fields that a client must not set are refused by name.

use serde_json::{Value, json};

use super::{PASSWORD, User, operator, public};
use crate::harness::{Options, Server};

/// What somebody might try to set.
fn smuggled() -> Vec<(&'static str, Value)> {
    vec![
        ("role", json!("SUPERADMIN")),
        ("workspace_id", json!("ws_00000000000000000000000000")),
        ("workspace", json!("ws_00000000000000000000000000")),
        ("plan", json!("enterprise")),
        ("is_superadmin", json!(true)),
        ("superadmin", json!(true)),
        ("verified", json!(true)),
        ("is_verified", json!(true)),
        ("blocked", json!(false)),
        ("is_blocked", json!(false)),
        ("owner", json!("user_00000000000000000000000000")),
        ("user", json!("user_00000000000000000000000000")),
        ("id", json!("user_00000000000000000000000000")),
        ("password_hash", json!("$argon2id$")),
        ("session_epoch", json!(0)),
        ("__proto__", json!({ "role": "SUPERADMIN" })),
    ]
}

fn with(body: &Value, name: &str, value: &Value) -> Value {
    let mut body = body.clone();
    body[name] = value.clone();
    body
}

/// The state that the requests must not change.
fn state(server: &Server, user: &User, workspace: &str) -> Vec<Value> {
    let mut users = operator(server).get("/admin/users").data();
    users.as_array_mut().unwrap().retain(|one| one["id"] == user.id.as_str());
    let read = |path: &str| user.within(server, workspace, "GET", path, &json!({})).data();
    let members = format!("/workspaces/{workspace}/members");
    vec![users, read("/workspaces"), read(&members), read("/tokens"), read("/links")]
}

#[test]
fn no_body_takes_a_field_that_is_not_the_clients_to_set() {
    let server = Options::links_only().start();
    let ada = User::new(&server, "ada");
    let bob = User::new(&server, "bob");
    let workspace = ada.workspace(&server, "Shared");
    ada.add(&server, &workspace, &bob, "member");
    let (token, _) =
        ada.token(&server, &workspace, &json!({ "name": "t", "abilities": ["links:read"] }));
    let before = state(&server, &ada, &workspace);
    let own = format!("/workspaces/{workspace}");
    let member = format!("{own}/members/{}", bob.id);
    let bodies = [
        ("PATCH", "/user".to_owned(), json!({ "name": "Ada" })),
        ("DELETE", "/user".to_owned(), json!({ "password": PASSWORD })),
        ("POST", "/workspaces".to_owned(), json!({ "name": "W" })),
        ("PATCH", own.clone(), json!({ "name": "W" })),
        ("PATCH", member, json!({ "role": "viewer" })),
        ("POST", format!("{own}/transfer"), json!({ "user": bob.id })),
        ("POST", "/tokens".to_owned(), json!({ "name": "t", "abilities": ["links:read"] })),
        ("PATCH", format!("/tokens/{token}"), json!({ "name": "u" })),
        ("POST", format!("/tokens/{token}/rotate"), json!({ "overlap_seconds": 0 })),
        ("POST", "/links".to_owned(), json!({ "destination": "https://example.com/landing" })),
        (
            "POST",
            "/user/password".to_owned(),
            json!({ "password": PASSWORD, "new_password": "another password" }),
        ),
        ("DELETE", "/user/2fa".to_owned(), json!({ "password": PASSWORD })),
        ("POST", "/user/2fa/confirm".to_owned(), json!({ "code": "123456" })),
    ];
    for (method, path, body) in &bodies {
        for (name, value) in smuggled() {
            if body.get(name).is_some() {
                continue;
            }
            let answer = ada.within(&server, &workspace, method, path, &with(body, name, &value));
            let problem = answer.problem(400, "VALIDATION_ERROR");
            assert!(problem["errors"][name].is_array(), "{method} {path} {name}: {problem}");
        }
    }
    for (name, value) in smuggled() {
        let body = json!({ "invitations": [with(&json!({ "email": "x@example.com", "role": "viewer" }), name, &value)] });
        if name != "role" {
            let path = format!("{own}/invitations");
            ada.api(&server).post(&path, &body).problem(400, "VALIDATION_ERROR");
        }
    }
    assert_eq!(state(&server, &ada, &workspace), before);
    ada.api(&server).get("/admin/users").problem(403, "FORBIDDEN");
}

#[test]
fn nobody_signs_up_as_more_than_a_user() {
    let server = Options::links_only().flag("--sign-up", "invitation").start();
    let ada = User::new(&server, "ada");
    let workspace = ada.workspace(&server, "Shared");
    let (_, invitation) = ada.invite(&server, &workspace, "new@example.com", "viewer");
    let body = json!({ "password": PASSWORD, "invitation": invitation, "name": "New" });
    for (path, body) in [
        ("/auth/sign-up", &body),
        ("/auth/login", &json!({ "email": ada.email, "password": PASSWORD })),
        ("/auth/token", &json!({ "email": ada.email, "password": PASSWORD })),
        ("/auth/forgot-password", &json!({ "email": ada.email })),
        ("/auth/reset-password", &json!({ "token": "x", "password": PASSWORD })),
        ("/auth/verify", &json!({ "token": "x" })),
        ("/auth/confirm-email", &json!({ "token": "x" })),
        ("/auth/set-up", &json!({ "token": "x", "email": "x@example.com", "password": PASSWORD })),
    ] {
        for (name, value) in smuggled() {
            let answer = public(&server, path, &with(body, name, &value));
            let problem = answer.problem(400, "VALIDATION_ERROR");
            assert!(problem["errors"][name].is_array(), "{path} {name}: {problem}");
            assert!(!answer.headers.contains_key("set-cookie"));
        }
    }
    // Another address than the invited one.
    let other = with(&body, "email", &json!("other@example.com"));
    public(&server, "/auth/sign-up", &other).refuses(400, "VALIDATION_ERROR", &["email"]);
    let made = public(&server, "/auth/sign-up", &body).expect(201).data();
    assert_eq!((&made["role"], &made["email"]), (&json!("USER"), &json!("new@example.com")));
    assert_eq!(operator(&server).get("/admin/users").data().as_array().unwrap().len(), 3);
}

/// A refused creation leaves no user behind, whose address would be taken.
#[test]
fn a_user_that_cannot_be_added_to_a_workspace_is_not_created() {
    let server = Options::links_only().start();
    let ada = User::new(&server, "ada");
    let workspace = ada.workspace(&server, "Shared");
    let personal = ada.id.replace("user_", "ws_");
    for (workspace, role) in [(workspace.as_str(), "owner"), (personal.as_str(), "admin")] {
        let body = json!({
            "email": "new@example.com", "workspace": workspace, "workspace_role": role,
        });
        operator(&server).post("/admin/users", &body).problem(409, "CONFLICT");
        let users = operator(&server).get("/admin/users").data();
        assert_eq!(users.as_array().unwrap().len(), 2, "{users}");
    }
    for (name, value) in [("workspace", "ws_00000000000000000000000000"), ("workspace", "x")] {
        let body = with(&json!({ "email": "new@example.com" }), name, &json!(value));
        operator(&server).post("/admin/users", &body).refuses(400, "VALIDATION_ERROR", &[name]);
    }
    let body = json!({ "email": "new@example.com", "role": "ROOT" });
    operator(&server).post("/admin/users", &body).refuses(400, "VALIDATION_ERROR", &["role"]);
    assert_eq!(operator(&server).get("/admin/users").data().as_array().unwrap().len(), 2);
}
