//! The pages of the links that set up accounts, reset passwords, verify addresses and accept
//! invitations.

pub mod mailbox;

use reqwest::Method;
use reqwest::blocking::RequestBuilder;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret};

use self::mailbox::{mail_server, mailed_path};
use crate::harness::{Answer, Chromium, Options, PATIENCE, Server, eventually};

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery";
const OTHER_PASSWORD: &str = "battery staple correct";
const PURPOSES: [&str; 5] = ["set-up", "reset", "verify", "email", "invitation"];

/// The path of a link.
#[track_caller]
fn path_of(link: &str) -> String {
    let start = link.find("/auth/").unwrap_or_else(|| panic!("not a link: {link}"));
    link[start..].to_owned()
}

/// A request of the operator.
#[track_caller]
fn operator(server: &Server, method: Method, path: &str, body: &Value) -> Value {
    let control = std::fs::read(server.data.path().join("service.json")).unwrap();
    let control: Value = serde_json::from_slice(&control).unwrap();
    let api = server.api_as(control["key"].as_str().unwrap());
    Answer::to(api.request(method, &format!("/admin{path}")).json(body)).data()
}

/// The path of a link of the operator's for the first user.
#[track_caller]
fn operator_link(server: &Server) -> String {
    let users = operator(server, Method::GET, "/users", &json!({}));
    let path = format!("/users/{}/link", users[0]["id"].as_str().unwrap());
    let linked = operator(server, Method::POST, &path, &json!({}));
    path_of(linked["link"].as_str().unwrap())
}

#[track_caller]
fn create_user(server: &Server, email: &str) {
    let body = json!({ "email": email, "password": PASSWORD });
    operator(server, Method::POST, "/users", &body);
}

/// The id of the owner token's workspace.
#[track_caller]
fn workspace(server: &Server) -> String {
    let data = server.api().get("/workspaces").expect(200).data();
    let found = data.as_array().unwrap().iter().find(|one| one["name"] == "default");
    found.unwrap_or_else(|| panic!("{data}"))["id"].as_str().unwrap().to_owned()
}

/// The path of the link that invites an address to the owner token's workspace.
#[track_caller]
fn invite(server: &Server, email: &str) -> String {
    let body = json!({ "invitations": [{ "email": email, "role": "viewer" }] });
    let path = format!("/workspaces/{}/invitations", workspace(server));
    let data = server.api().post(&path, &body).expect(201).data();
    path_of(data[0]["invitation"]["link"].as_str().unwrap())
}

fn members(server: &Server) -> String {
    server.api().get(&format!("/workspaces/{}/members", workspace(server))).expect(200).text
}

/// A form as a browser sends it: no origin, as the page's policy is to send no referrer.
fn form(server: &Server, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    server
        .request(Method::POST, path)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("origin", "null")
        .header("sec-fetch-site", "same-origin")
        .body(body)
}

#[track_caller]
fn submit(server: &Server, path: &str, fields: &[(&str, &str)]) -> Answer {
    let answer = Answer::to(form(server, path, fields));
    assert_page(&answer);
    answer
}

/// Every answer is a page that is neither stored nor named to others, without secrets.
#[track_caller]
fn assert_page(answer: &Answer) {
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{answer:?}");
    assert_eq!(answer.header("referrer-policy"), "no-referrer", "{answer:?}");
    assert!(answer.header("cache-control").contains("no-store"), "{answer:?}");
    assert!(answer.header("content-security-policy").starts_with("default-src 'none';"));
    assert!(!answer.text.contains(PASSWORD) && !answer.text.contains("short1"), "{answer:?}");
}

fn sign_in(server: &Server, email: &str, password: &str) -> Answer {
    let body = json!({ "email": email, "password": password });
    Answer::to(server.request(Method::POST, "/api/auth/token").json(&body))
}

#[test]
fn an_account_is_set_up_once_and_its_password_reset() {
    let server = Options::links_only().without_token().start();
    let path = eventually("the link is printed", || {
        server.stdout.lines().iter().find(|line| line.contains("/auth/")).map(|link| path_of(link))
    });
    assert!(path.starts_with("/auth/set-up/"), "{path}");
    let page = server.get(&path).expect(200);
    assert_page(&page);
    for part in ["autocomplete=\"username\"", "autocomplete=\"new-password\"", "10 to 200"] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    assert_eq!(Answer::to(server.request(Method::HEAD, &path)).expect(200).text, "");

    let short = submit(&server, &path, &[("email", EMAIL), ("password", "short1")]).expect(400);
    for part in ["Password must be 10 to 200", "role=\"alert\"", "aria-invalid", EMAIL] {
        assert!(short.text.contains(part), "{part}: {}", short.text);
    }
    let wrong = submit(&server, &path, &[("email", "ada"), ("password", PASSWORD)]).expect(400);
    assert!(wrong.text.contains("Email address must be"), "{}", wrong.text);
    let done = submit(&server, &path, &[("email", EMAIL), ("password", PASSWORD)]).expect(200);
    assert!(done.text.contains("Your account is ready"), "{}", done.text);
    assert!(done.text.contains("POST /api/auth/token"), "{}", done.text);
    sign_in(&server, EMAIL, PASSWORD).expect(200);
    server.get(&path).expect(410);
    submit(&server, &path, &[("email", EMAIL), ("password", PASSWORD)]).expect(410);

    let reset = operator_link(&server);
    assert!(reset.starts_with("/auth/reset/"), "{reset}");
    assert!(server.get(&reset).expect(200).text.contains(EMAIL));
    submit(&server, &reset, &[("password", "short1")]).expect(400);
    submit(&server, &reset, &[("password", OTHER_PASSWORD)]).expect(200);
    sign_in(&server, EMAIL, PASSWORD).expect(401);
    sign_in(&server, EMAIL, OTHER_PASSWORD).expect(200);
    submit(&server, &reset, &[("password", "short1")]).expect(410);
}

#[test]
fn the_address_of_another_user_cannot_be_set_up() {
    let server = Options::links_only().start();
    let path = operator_link(&server);
    create_user(&server, EMAIL);
    let taken = submit(&server, &path, &[("email", EMAIL), ("password", PASSWORD)]).expect(409);
    assert!(taken.text.contains("aria-describedby=\"email-hint email-wrong\""), "{}", taken.text);
}

#[test]
fn invalid_links_are_pages_without_details() {
    let server = Options::links_only().start();
    let set_up = operator_link(&server);
    let token = set_up.rsplit('/').next().unwrap();
    let fields = [("email", EMAIL), ("password", "short1")];
    for purpose in PURPOSES {
        let garbage = format!("/auth/{purpose}/garbage");
        let page = server.get(&garbage).expect(404);
        assert_page(&page);
        assert_eq!(submit(&server, &garbage, &fields).expect(404).text, page.text, "{purpose}");
        Answer::to(server.request(Method::HEAD, &garbage)).expect(404);
        if purpose != "set-up" {
            let other = format!("/auth/{purpose}/{token}");
            assert_eq!(server.get(&other).expect(404).text, page.text, "{purpose}");
        }
    }
    server.get(&format!("/auth/other/{token}")).expect(404);
    let forged = format!("/auth/set-up/{}AAAA", &token[..token.len() - 4]);
    assert_eq!(submit(&server, &forged, &fields).expect(410).text, server.get(&forged).text);

    // From other sites a link may be followed, but no form sent.
    let from_mail = server.request(Method::GET, &set_up).header("sec-fetch-site", "cross-site");
    Answer::to(from_mail).expect(200);
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        let refused = Answer::to(form(&server, &set_up, &fields).headers(headers)).expect(403);
        assert!(refused.text.contains("Another site"), "{refused:?}");
    }
    let json = server.request(Method::POST, &set_up).json(&json!({ "email": EMAIL }));
    assert_page(&Answer::to(json).expect(415));
}

#[test]
fn attempts_at_a_link_are_limited() {
    let server = Options::links_only().start();
    let path = operator_link(&server);
    let fields = [("email", EMAIL), ("password", "short1")];
    for _ in 0..10 {
        submit(&server, &path, &fields).expect(400);
    }
    let refused = submit(&server, &path, &fields).expect(429);
    assert!((1..=900).contains(&refused.header("retry-after").parse::<u32>().unwrap()));
    server.get(&path).expect(200);
}

#[test]
fn an_invitation_is_accepted_by_a_new_user() {
    let closed = Options::links_only().start();
    let path = invite(&closed, EMAIL);
    let refused = submit(&closed, &path, &[("password", PASSWORD)]).expect(403);
    assert!(refused.text.contains("Signing up is closed"), "{}", refused.text);

    let server = Options::links_only().flag("--sign-up", "invitation").start();
    let path = invite(&server, EMAIL);
    let page = server.get(&path).expect(200);
    assert_page(&page);
    for part in ["default", "viewer", EMAIL, "<time datetime=", "autocomplete=\"one-time-code\""] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    let short = submit(&server, &path, &[("password", "short1"), ("name", "A<b")]).expect(400);
    assert!(short.text.contains("value=\"A&#60;b\""), "the name is kept: {}", short.text);
    let done = submit(&server, &path, &[("password", PASSWORD), ("name", "Ada")]).expect(200);
    assert!(done.text.contains("You are a member of default"), "{}", done.text);
    let found = members(&server);
    assert!(found.contains(EMAIL) && found.contains("\"Ada\""), "{found}");
    sign_in(&server, EMAIL, PASSWORD).expect(200);
    submit(&server, &path, &[("password", PASSWORD)]).expect(410);
}

#[test]
fn an_invitation_is_accepted_by_a_user_who_signs_in() {
    let server = Options::links_only().start();
    create_user(&server, EMAIL);
    let jwt = sign_in(&server, EMAIL, PASSWORD).expect(200).json();
    let user = server.api_as(jwt["token"].as_str().unwrap());
    let begun = user.post("/user/2fa", &json!({ "password": PASSWORD })).expect(200).data();
    let secret = Secret::try_from_base32(begun["secret"].as_str().unwrap()).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let code = Builder::new().with_secret(secret).build_noncompliant().generate(now.as_secs());
    let confirmed = user.post("/user/2fa/confirm", &json!({ "code": code.to_string() }));
    let recovery = confirmed.expect(200).data()["recovery_codes"][0].as_str().unwrap().to_owned();

    let path = invite(&server, EMAIL);
    let empty = submit(&server, &path, &[("password", "")]).expect(400);
    assert!(empty.text.contains("Password is required"), "{}", empty.text);
    let wrong = submit(&server, &path, &[("password", OTHER_PASSWORD)]).expect(401);
    assert!(wrong.text.contains("is wrong") && !wrong.text.contains(OTHER_PASSWORD));
    let no_code = submit(&server, &path, &[("password", PASSWORD)]).expect(401);
    assert!(no_code.text.contains("aria-describedby=\"code-hint code-wrong\""), "{no_code:?}");
    assert!(!members(&server).contains(EMAIL));
    let done = submit(&server, &path, &[("password", PASSWORD), ("code", &recovery)]).expect(200);
    assert!(done.text.contains("You are a member of default"), "{}", done.text);
    assert!(!done.headers.contains_key("set-cookie"));
    assert!(members(&server).contains(EMAIL));
    let sessions = user.get("/user/sessions").expect(200).data();
    assert_eq!(sessions.as_array().unwrap().len(), 1, "the form leaves no session: {sessions}");
}

#[test]
fn addresses_are_verified_and_changed_by_a_button() {
    let (smtp, mails) = mail_server();
    let options = Options::links_only().flag("--smtp-url", smtp).flag("--sign-up", "open");
    let server = options.flag("--mail-from", "links@example.com").start();
    let new = json!({ "email": EMAIL, "password": PASSWORD });
    Answer::to(server.request(Method::POST, "/api/auth/sign-up").json(&new)).expect(202);
    let verify = mailed_path(&mails);
    assert!(verify.starts_with("/auth/verify/"), "{verify}");
    assert!(server.get(&verify).expect(200).text.contains(EMAIL));
    sign_in(&server, EMAIL, PASSWORD).expect(403);
    submit(&server, &verify, &[]).expect(200);
    let jwt = sign_in(&server, EMAIL, PASSWORD).expect(200).json();

    let wish = json!({ "email": "grace@example.com", "password": PASSWORD });
    server.api_as(jwt["token"].as_str().unwrap()).post("/user/email", &wish).expect(202);
    let change = mailed_path(&mails);
    assert!(change.starts_with("/auth/email/"), "{change}");
    assert!(server.get(&change).expect(200).text.contains("grace@example.com"));
    sign_in(&server, EMAIL, PASSWORD).expect(200);
    submit(&server, &change, &[]).expect(200);
    sign_in(&server, "grace@example.com", PASSWORD).expect(200);
    let notice = mails.recv_timeout(PATIENCE).unwrap();
    assert!(notice.contains(&format!("To: {EMAIL}")), "{notice}");
    submit(&server, &change, &[]).expect(410);
}

#[test]
fn the_form_works_in_a_browser() {
    let Some(mut browser) = Chromium::start() else { return };
    let server = Options::links_only().start();
    let path = operator_link(&server);
    let faults = browser.load(&format!("{}{path}", server.base));
    assert_eq!(faults, Vec::<String>::new());
    browser.evaluate(&format!(
        "document.querySelector('#email').value = '{EMAIL}'; \
         document.querySelector('#password').value = '{PASSWORD}'; \
         document.querySelector('button').click()"
    ));
    eventually("the account is ready", || {
        let shown = browser.evaluate("(document.body || {}).innerText");
        shown.as_str().is_some_and(|text| text.contains("Your account is ready")).then_some(())
    });
    sign_in(&server, EMAIL, PASSWORD).expect(200);
}
