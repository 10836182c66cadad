//! Mails that somebody causes for an address: to whom they go, and what they reveal.

use std::sync::mpsc::Receiver;

use serde_json::{Value, json};

use super::{PASSWORD, User, link_token, login, public};
use crate::account_pages::mailbox::{mail_server, mailed_path};
use crate::harness::{Answer, Options, PATIENCE, Server};

fn start(sign_up: &str) -> (Server, Receiver<String>) {
    let (url, mails) = mail_server();
    let options = Options::links_only()
        .behind_proxy()
        .flag("--sign-up", sign_up)
        .flag("--smtp-url", url)
        .flag("--mail-from", "slugline@example.com");
    (options.start(), mails)
}

fn sign_up(server: &Server, email: &str, password: &str) -> Answer {
    public(server, "/auth/sign-up", &json!({ "email": email, "password": password }))
}

fn forgot(server: &Server, email: &str) -> Answer {
    public(server, "/auth/forgot-password", &json!({ "email": email }))
}

/// What an answer shows.
fn shown(answer: &Answer) -> (u16, &str, usize) {
    (answer.status, &answer.text, answer.headers.len())
}

/// A letter that is lower-cased to one of the address makes no other recipient of the link.
#[test]
fn a_link_is_mailed_to_the_accounts_own_address() {
    let (server, mails) = start("closed");
    let kate = User::new(&server, "kate");
    for written in [" KATE@Example.com ", "\u{212a}ate@example.com"] {
        forgot(&server, written).expect(202);
        let mail = mails.recv_timeout(PATIENCE).unwrap();
        assert!(mail.contains(&format!("To: {}", kate.email)), "{mail}");
    }
    let body = json!({ "email": "\u{212a}im@example.com", "password": PASSWORD });
    kate.api(&server).post("/user/email", &body).expect(202);
    let mail = mails.recv_timeout(PATIENCE).unwrap();
    assert!(mail.contains("To: kim@example.com"), "{mail}");
}

/// Only the owner of an address learns whether it has an account.
#[test]
fn answers_do_not_tell_whether_an_address_has_an_account() {
    let (server, mails) = start("open");
    let ada = User::new(&server, "ada");
    let (unknown, known) = (forgot(&server, "nobody@example.com"), forgot(&server, &ada.email));
    assert_eq!(shown(&unknown), shown(&known));
    assert_eq!(known.status, 202);
    assert!(mailed_path(&mails).starts_with("/auth/reset/"));
    let (taken, new) =
        (sign_up(&server, &ada.email, PASSWORD), sign_up(&server, "new@example.com", PASSWORD));
    assert_eq!(shown(&taken), shown(&new));
    assert_eq!(new.status, 202);
    let mut texts = [mails.recv_timeout(PATIENCE).unwrap(), mails.recv_timeout(PATIENCE).unwrap()];
    texts.sort_by_key(|mail| mail.contains(&ada.email));
    let [new, taken] = texts;
    assert!(new.contains("Subject: Confirm your email") && new.contains("/auth/verify/"), "{new}");
    assert!(taken.contains("Subject: You have an account already"), "{taken}");
    assert!(taken.contains("/auth/reset/"), "{taken}");
    let bob = User::new(&server, "bob");
    let request = |email: &str| {
        let body = json!({ "email": email, "password": PASSWORD });
        bob.api(&server).post("/user/email", &body)
    };
    let (taken, free) = (request(&ada.email), request("free@example.com"));
    assert_eq!(shown(&taken), shown(&free));
    let mail = mails.recv_timeout(PATIENCE).unwrap();
    assert!(mail.contains("To: free@example.com"), "{mail}");
    // Five mails an hour for an address, known or not.
    for email in [ada.email.as_str(), "nobody@example.com"] {
        let statuses: Vec<_> = (0..6).map(|_| forgot(&server, email).status).collect();
        assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    }
}

/// An attacker who signs up with a victim's address has no access once the victim signs up.
#[test]
fn an_account_prepared_by_somebody_else_is_taken_over_by_the_owner_of_the_address() {
    let (server, mails) = start("open");
    let email = "victim@example.com";
    sign_up(&server, email, "an attackers password").expect(202);
    assert!(mailed_path(&mails).starts_with("/auth/verify/"));
    login(&server, email, "an attackers password").problem(403, "FORBIDDEN");
    sign_up(&server, email, PASSWORD).expect(202);
    let path = mailed_path(&mails);
    let body = json!({ "token": link_token(&path), "password": PASSWORD });
    public(&server, "/auth/reset-password", &body).expect(200);
    login(&server, email, "an attackers password").problem(401, "INVALID_API_KEY");
    login(&server, email, PASSWORD).expect(200);
}

#[test]
fn another_address_is_used_once_it_is_confirmed() {
    let (server, mails) = start("closed");
    let ada = User::new(&server, "ada");
    let request = |email: &str, password: &str| {
        ada.api(&server).post("/user/email", &json!({ "email": email, "password": password }))
    };
    request("new@example.com", "a wrong password").problem(403, "FORBIDDEN");
    request("not an address", PASSWORD).refuses(400, "VALIDATION_ERROR", &["email"]);
    request("first@example.com", PASSWORD).expect(202);
    let first = link_token(&mailed_path(&mails));
    request("new@example.com", PASSWORD).expect(202);
    let second = link_token(&mailed_path(&mails));
    let user = ada.api(&server).get("/user").data();
    assert_eq!(
        (&user["email"], &user["requested_email"]),
        (&json!(ada.email), &json!("new@example.com"))
    );
    login(&server, "new@example.com", PASSWORD).problem(401, "INVALID_API_KEY");
    let confirm = |token: &str| public(&server, "/auth/confirm-email", &json!({ "token": token }));
    // The later request replaces the earlier one.
    confirm(&first).problem(410, "GONE");
    confirm(&second).expect(200);
    let notice = mails.recv_timeout(PATIENCE).unwrap();
    assert!(notice.contains(&format!("To: {}", ada.email)), "{notice}");
    confirm(&second).problem(410, "GONE");
    login(&server, &ada.email, PASSWORD).problem(401, "INVALID_API_KEY");
    login(&server, "new@example.com", PASSWORD).expect(200);
    let user = ada.api(&server).get("/user").data();
    assert_eq!((&user["verified"], &user["requested_email"]), (&json!(true), &Value::Null));
}

/// The owner gets a mail about credits that auto-recharge requests, if nobody answers at once.
#[test]
fn owners_get_a_mail_about_requested_credits() {
    let (server, mails) = start("closed");
    let kate = User::new(&server, "kate");
    let workspace = kate.workspace(&server, "Acme");
    let (_, token) = kate.token(&server, &workspace, &json!({ "name": "t", "abilities": ["*"] }));
    let settings = json!({
        "kind": "links", "enabled": true, "threshold": 5, "amount": 40, "monthly_limit": 100,
    });
    server.api_as(&token).put("/billing/auto-recharge", &settings).expect(200);
    let mail = mails.recv_timeout(2 * PATIENCE).unwrap();
    assert!(mail.contains("Subject: Credits requested for the workspace"), "{mail}");
    assert!(mail.contains(&format!("To: {}", kate.email)), "{mail}");
    assert!(mail.contains("few credits for links left: 40 more"), "{mail}");
}
