//! Sessions: listed, ended, and what ends them.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Browser, PASSWORD, User, jwt, login, operator, public, text};
use crate::harness::{Answer, Options, Server};

#[track_caller]
fn sessions(server: &Server, browser: &Browser) -> Vec<Value> {
    browser.get(server, "/user/sessions").expect(200).data().as_array().unwrap().clone()
}

#[test]
fn signing_out_ends_one_session() {
    let server = Options::links_only().start();
    let ada = User::new(&server, "ada");
    let (one, two) = (Browser::new(&server, &ada.email), Browser::new(&server, &ada.email));
    let out = one.post(&server, "/auth/logout", &json!({})).expect(204);
    let removal = out.header("set-cookie");
    assert!(removal.starts_with("session=;") && removal.contains("Max-Age=0"), "{removal}");
    one.get(&server, "/user").problem(401, "INVALID_API_KEY");
    one.post(&server, "/auth/logout", &json!({})).problem(401, "INVALID_API_KEY");
    two.get(&server, "/user").expect(200);
    ada.api(&server).post("/auth/logout", &json!({})).expect(204);
    ada.api(&server).get("/user").problem(401, "INVALID_API_KEY");
    two.get(&server, "/user").expect(200);
}

#[test]
fn a_session_is_described_and_ended_from_another() {
    let server = Options::links_only().start();
    let (ada, bob) = (User::new(&server, "ada"), User::new(&server, "bob"));
    let browser = Browser::new(&server, &ada.email);
    let foreign = Browser::new(&server, &bob.email);
    let list = sessions(&server, &browser);
    assert_eq!(list.len(), 2);
    assert_eq!((&list[0]["kind"], &list[0]["current"]), (&json!("jwt"), &json!(false)));
    assert_eq!((&list[1]["kind"], &list[1]["current"]), (&json!("browser"), &json!(true)));
    let session = browser.get(&server, "/auth/session").data();
    assert_eq!(session["id"], list[1]["id"]);
    assert_eq!(session["csrf_token"], browser.csrf.as_str());
    let path = |session: &Value| format!("/user/sessions/{}", text(session, "id"));

    // Nobody else sees it or ends it.
    foreign.delete(&server, &path(&list[0])).problem(404, "NOT_FOUND");
    foreign.delete(&server, "/user/sessions/sess_00000000000000000000000000").expect(404);
    foreign.delete(&server, "/user/sessions/nonsense").expect(404);
    ada.api(&server).get("/user").expect(200);
    browser.delete(&server, &path(&list[0])).expect(204);
    ada.api(&server).get("/user").problem(401, "INVALID_API_KEY");
    browser.delete(&server, &path(&list[0])).problem(404, "NOT_FOUND");

    let again = jwt(&server, &ada.email, PASSWORD);
    browser.delete(&server, "/user/sessions").expect(204);
    browser.get(&server, "/user").problem(401, "INVALID_API_KEY");
    server.api_as(again).get("/user").problem(401, "INVALID_API_KEY");
    foreign.get(&server, "/user").expect(200);
}

/// No session is brought back by a restart or by rebuilding the index.
#[test]
fn an_ended_session_stays_ended() {
    let options = Options::links_only();
    let server = options.start();
    let ada = User::new(&server, "ada");
    let (one, two) = (Browser::new(&server, &ada.email), Browser::new(&server, &ada.email));
    one.post(&server, "/auth/logout", &json!({})).expect(204);
    assert!(server.stop().success());
    let server = options.start();
    one.get(&server, "/user").problem(401, "INVALID_API_KEY");
    two.get(&server, "/user").expect(200);
    two.post(
        &server,
        "/user/password",
        &json!({ "password": PASSWORD, "new_password": "a new password" }),
    )
    .expect(200);
    assert!(server.stop().success());
    let rebuilt = crate::harness::slugline()
        .args(["rebuild", "index", "--data-dir"])
        .arg(options.data.path())
        .output()
        .unwrap();
    assert!(rebuilt.status.success());
    let server = options.start();
    for dead in [&one, &two] {
        dead.get(&server, "/user").problem(401, "INVALID_API_KEY");
    }
    login(&server, &ada.email, PASSWORD).problem(401, "INVALID_API_KEY");
    login(&server, &ada.email, "a new password").expect(200);
}

#[test]
fn another_password_ends_all_other_sessions() {
    let server = Options::links_only().start();
    let ada = User::new(&server, "ada");
    let (one, two) = (Browser::new(&server, &ada.email), Browser::new(&server, &ada.email));
    let change = |present: &str, new: &str| {
        let body = json!({ "password": present, "new_password": new });
        one.post(&server, "/user/password", &body)
    };
    change("a wrong password", "another password").problem(403, "FORBIDDEN");
    change("", "another password").refuses(400, "VALIDATION_ERROR", &["password"]);
    for weak in ["", "short", &"x".repeat(201)] {
        change(PASSWORD, weak).refuses(400, "VALIDATION_ERROR", &["new_password"]);
    }
    two.get(&server, "/user").expect(200);
    let changed = change(PASSWORD, "another password").expect(200);
    let now = Browser::of(&changed);
    now.get(&server, "/user").expect(200);
    now.post(&server, "/workspaces", &json!({ "name": "W" })).expect(201);
    for dead in [&one, &two] {
        dead.get(&server, "/user").problem(401, "INVALID_API_KEY");
    }
    ada.api(&server).get("/user").problem(401, "INVALID_API_KEY");
    login(&server, &ada.email, PASSWORD).problem(401, "INVALID_API_KEY");
    login(&server, &ada.email, "another password").expect(200);
}

/// A client with a JWT goes on with the one in the response.
#[test]
fn another_password_gives_a_jwt_in_place_of_a_jwt() {
    let server = Options::links_only().start();
    let ada = User::new(&server, "ada");
    let body = json!({ "password": PASSWORD, "new_password": "another password" });
    let changed = ada.api(&server).post("/user/password", &body).expect(200);
    assert!(!changed.headers.contains_key("set-cookie"));
    ada.api(&server).get("/user").problem(401, "INVALID_API_KEY");
    let now = server.api_as(text(&changed.data(), "token"));
    let list = now.get("/user/sessions").expect(200).data();
    assert_eq!((list.as_array().unwrap().len(), &list[0]["kind"]), (1, &json!("jwt")));
    let browser = Browser::of(&login(&server, &ada.email, "another password"));
    let body = json!({ "password": "another password", "new_password": PASSWORD });
    let changed = browser.post(&server, "/user/password", &body).expect(200);
    assert!(changed.data().get("token").is_none(), "{}", changed.text);
}

/// The operator's link sets another password once, and ends all sessions; so does no older link.
#[test]
fn a_reset_link_works_once() {
    let server = Options::links_only().start();
    let (ada, bob) = (User::new(&server, "ada"), User::new(&server, "bob"));
    let link = |user: &User| {
        let path = format!("/admin/users/{}/link", user.id);
        let made = operator(&server).post(&path, &json!({})).expect(200).data();
        super::link_token(&text(&made, "link"))
    };
    let reset = |token: &str, password: &str| {
        public(&server, "/auth/reset-password", &json!({ "token": token, "password": password }))
    };
    let (first, second, bobs) = (link(&ada), link(&ada), link(&bob));
    reset(&first, "short").refuses(400, "VALIDATION_ERROR", &["password"]);
    for wrong in ["", "nonsense", &first[1..], &format!("{first}A"), &first.to_lowercase()] {
        let answer = reset(wrong, "another password");
        assert!([400, 404, 410].contains(&answer.status), "{answer:?}");
    }
    // The head of one link with the signature of another.
    let spliced = format!("{}{}", &first[..54], &bobs[54..]);
    assert!([404, 410].contains(&reset(&spliced, "another password").status));
    // A link for one purpose serves no other.
    for path in ["/auth/verify", "/auth/confirm-email"] {
        public(&server, path, &json!({ "token": first })).problem(404, "NOT_FOUND");
    }
    let body = json!({ "token": first, "email": "x@example.com", "password": "another password" });
    public(&server, "/auth/set-up", &body).problem(404, "NOT_FOUND");
    server.get(&format!("/api/v1/invitations/{first}")).problem(404, "NOT_FOUND");
    login(&server, &ada.email, PASSWORD).expect(200);

    reset(&first, "another password").expect(200);
    ada.api(&server).get("/user").problem(401, "INVALID_API_KEY");
    login(&server, &ada.email, PASSWORD).problem(401, "INVALID_API_KEY");
    login(&server, &ada.email, "another password").expect(200);
    for used in [&first, &second] {
        reset(used, "yet another password").problem(410, "GONE");
    }
    login(&server, &bob.email, PASSWORD).expect(200);
    assert_eq!(bob.api(&server).get("/user").expect(200).data()["id"], bob.id.as_str());
}

/// The JWT of a session names no other, and each request is checked.
#[test]
fn a_role_that_is_taken_away_is_gone_at_the_next_request() {
    let server = Options::links_only().start();
    let ada = User::new(&server, "ada");
    let path = format!("/admin/users/{}", ada.id);
    let role = |role: &str| operator(&server).patch(&path, &json!({ "role": role })).expect(200);
    ada.api(&server).get("/admin/users").problem(403, "FORBIDDEN");
    role("SUPERADMIN");
    // The sessions from before do not get it.
    ada.api(&server).get("/admin/users").problem(401, "INVALID_API_KEY");
    let now = jwt(&server, &ada.email, PASSWORD);
    server.api_as(&now).get("/admin/users").expect(200);
    let (_, secret) = server.api_as(&now).token(&["*"]);
    server.api_as(secret).get("/admin/users").problem(403, "FORBIDDEN");
    role("USER");
    server.api_as(&now).get("/admin/users").problem(401, "INVALID_API_KEY");
    let again = jwt(&server, &ada.email, PASSWORD);
    server.api_as(again).get("/admin/users").problem(403, "FORBIDDEN");
    // The bootstrap's superadmin is the last one.
    let users = operator(&server).get("/admin/users").data();
    let superadmin =
        users.as_array().unwrap().iter().find(|user| user["role"] == "SUPERADMIN").unwrap();
    let path = format!("/admin/users/{}", text(superadmin, "id"));
    operator(&server).patch(&path, &json!({ "role": "USER" })).problem(409, "CONFLICT");
    operator(&server).patch(&path, &json!({ "blocked": true })).problem(409, "CONFLICT");
    Answer::to(operator(&server).request(Method::DELETE, &path)).problem(409, "CONFLICT");
}
