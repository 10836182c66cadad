//! No secret of an account is in the log or in a file of the data folder.

use reqwest::Method;
use serde_json::json;

use super::{Browser, PASSWORD, User, jwt, link_token, login, operator, public, text, two_factor};
use crate::harness::{Answer, Options, Server};

const NEW_PASSWORD: &str = "another horse battery";
const WRONG_PASSWORD: &str = "a mistyped horse battery";

/// Runs through everything that has a secret; returns the secrets.
fn secrets_of_all_flows(server: &Server) -> Vec<String> {
    let mut secrets: Vec<_> = [PASSWORD, NEW_PASSWORD, WRONG_PASSWORD].map(str::to_owned).into();
    let ada = User::new(server, "ada");
    secrets.push(ada.jwt.clone());
    login(server, &ada.email, WRONG_PASSWORD).expect(401);
    let browser = Browser::new(server, &ada.email);
    secrets.extend(browser.cookie.split('=').map(str::to_owned).skip(1));
    secrets.push(browser.csrf.clone());
    browser.post(server, "/workspaces", &json!({ "name": 7 })).expect(400);

    let begun =
        browser.post(server, "/user/2fa", &json!({ "password": PASSWORD })).expect(200).data();
    let secret = text(&begun, "secret");
    let code = two_factor::totp(&two_factor::base32(&secret), two_factor::step());
    let body = json!({ "code": code });
    let codes = browser.post(server, "/user/2fa/confirm", &body).expect(200).data();
    let codes: Vec<String> = serde_json::from_value(codes["recovery_codes"].clone()).unwrap();
    let body = json!({ "email": ada.email, "password": PASSWORD, "code": codes[0] });
    let with_code = public(server, "/auth/login", &body).expect(200);
    secrets.push(Browser::of(&with_code).cookie.split_once('=').unwrap().1.to_owned());
    secrets.extend([vec![secret], codes].concat());

    let path = format!("/admin/users/{}/link", ada.id);
    let reset = link_token(&text(&operator(server).post(&path, &json!({})).data(), "link"));
    for path in ["/auth/verify", "/auth/reset-password"] {
        public(server, path, &json!({ "token": reset, "password": "short" }));
    }
    server.get(&format!("/api/v1/invitations/{reset}"));
    let body = json!({ "token": reset, "password": NEW_PASSWORD });
    public(server, "/auth/reset-password", &body).expect(200);
    secrets.push(reset);

    let owner = User::new(server, "owner");
    let workspace = owner.workspace(server, "Shared");
    let (_, invitation) = owner.invite(server, &workspace, "new@example.com", "admin");
    let body = json!({ "password": NEW_PASSWORD, "invitation": invitation });
    public(server, "/auth/sign-up", &body).expect(201);
    let new = jwt(server, "new@example.com", NEW_PASSWORD);
    server.get(&format!("/api/v1/invitations/{invitation}")).expect(200);
    let path = format!("/invitations/{invitation}/accept");
    server.api_as(&new).post(&path, &json!({})).expect(200);
    secrets.extend([invitation, new, owner.jwt.clone()]);

    let body = json!({ "name": "t", "abilities": ["links:read"] });
    let (id, token) = owner.token(server, &workspace, &body);
    let path = format!("/tokens/{id}/rotate");
    let body = json!({ "overlap_seconds": 60 });
    let rotated = owner.within(server, &workspace, "POST", &path, &body).expect(200).data();
    server.api_as(&token).get("/links").expect(200);
    let request = server.request(Method::GET, "/api/v1/links").header("x-api-key", &token);
    Answer::to(request).expect(200);
    secrets.extend([token, text(&rotated, "token")]);
    // Requests that fail inside: headers and bodies that are no text.
    let bad = server.request(Method::POST, "/api/v1/auth/login").body(format!("{{{PASSWORD}"));
    Answer::to(bad.header("content-type", "application/json")).expect(400);
    secrets
}

#[test]
fn secrets_are_in_no_log_and_in_no_file() {
    let options = Options::links_only().flag("--sign-up", "invitation").flag("--log", "trace");
    let server = options.start();
    let control = std::fs::read_to_string(server.data.path().join("service.json")).unwrap();
    let control: serde_json::Value = serde_json::from_str(&control).unwrap();
    let mut secrets = secrets_of_all_flows(&server);
    let stdout = server.stdout.clone();
    let log = server.stop_for_log().join("\n") + &stdout.text();
    assert!(log.contains("TRACE"), "all is logged");
    for secret in &secrets {
        assert!(secret.len() >= 6, "{secret}");
        assert!(!log.contains(secret.as_str()), "the log holds {secret}");
    }
    for secret in [text(&control, "key"), crate::harness::TOKEN.to_owned()] {
        assert!(!log.contains(&secret), "the log holds {secret}");
        secrets.push(secret);
    }
    for email in ["ada@example.com", "owner@example.com", "new@example.com"] {
        assert!(!log.contains(email), "the log holds {email}");
        secrets.push(email.to_owned());
    }
    for (path, bytes) in options.data.files() {
        for secret in &secrets {
            let holds = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!holds, "{} holds {secret}", path.display());
        }
    }
}
