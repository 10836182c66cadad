//! Guessing passwords: answers that reveal nothing, and limits.

use serde_json::{Value, json};

use super::{PASSWORD, User, add_user, login_from, operator, public};
use crate::harness::{Answer, Options, Server};

fn start() -> Server {
    Options::links_only().behind_proxy().start()
}

/// The body of a problem without what differs from request to request.
fn without_id(answer: &Answer) -> Value {
    let mut body = answer.problem(401, "INVALID_API_KEY");
    body.as_object_mut().unwrap().remove("request_id");
    body
}

fn header_names(answer: &Answer) -> Vec<String> {
    let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
    names.sort();
    names
}

/// Whether an address has an account is not revealed: not by the body, a header or a limit.
#[test]
fn a_wrong_password_and_an_unknown_address_get_the_same_answer() {
    let server = start();
    let ada = User::new(&server, "ada");
    for path in ["/auth/login", "/auth/token"] {
        let ask = |email: &str, password: &str| {
            public(&server, path, &json!({ "email": email, "password": password }))
        };
        let wrong = ask(&ada.email, "a wrong password");
        for other in [
            ask("nobody@example.com", "a wrong password"),
            ask("nobody@example.com", PASSWORD),
            ask("not an address", PASSWORD),
            ask("ada@example.com\u{0}", PASSWORD),
            ask(&ada.email, &format!("{PASSWORD} ")),
            ask(&ada.email, &PASSWORD.to_uppercase()),
            ask(&ada.email, &"x".repeat(10_000)),
        ] {
            assert_eq!(without_id(&other), without_id(&wrong));
            assert_eq!(header_names(&other), header_names(&wrong));
            assert!(!other.headers.contains_key("set-cookie"));
        }
        ask(" ADA@Example.COM ", PASSWORD).expect(200);
        ask("", PASSWORD).refuses(400, "VALIDATION_ERROR", &["email"]);
        ask(&ada.email, "").refuses(400, "VALIDATION_ERROR", &["password"]);
    }
}

#[track_caller]
fn refused_for_a_while(answer: &Answer) {
    answer.problem(429, "RATE_LIMITED");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=900).contains(&wait), "{wait}");
    assert!(!answer.headers.contains_key("set-cookie"));
}

/// Ten attempts at an account, from wherever, whether it exists or not.
#[test]
fn an_account_is_guessed_ten_times() {
    let server = start();
    let ada = User::new(&server, "ada");
    let bob = User::new(&server, "bob");
    for email in [ada.email.as_str(), "nobody@example.com"] {
        for number in 0..10 {
            let address = format!("198.51.100.{number}");
            // Case and spaces make no other account of it.
            let written = if number % 2 == 0 { email.to_uppercase() } else { format!(" {email} ") };
            let guess = login_from(&server, &address, &written, "a wrong password");
            guess.problem(401, "INVALID_API_KEY");
        }
        refused_for_a_while(&login_from(&server, "198.51.100.99", email, "a wrong password"));
        // The right password does not tell either.
        refused_for_a_while(&login_from(&server, "198.51.100.98", email, PASSWORD));
        let token = json!({ "email": email, "password": PASSWORD });
        refused_for_a_while(&public(&server, "/auth/token", &token));
    }
    login_from(&server, "198.51.100.1", &bob.email, PASSWORD).expect(200);
}

/// Thirty failed attempts from an address, of which a network of IPv6 is one.
#[test]
fn an_address_guesses_thirty_times() {
    let server = start();
    let ada = User::new(&server, "ada");
    for (network, other) in [("2001:db8:1:2::", "2001:db8:1:3::1"), ("203.0.113.7", "203.0.113.8")]
    {
        let address = |number: usize| {
            if network.contains(':') { format!("{network}{number:x}") } else { network.to_owned() }
        };
        for number in 1..=30 {
            let email = format!("{number}@{}.example", network.replace([':', '.'], "-"));
            let guess = login_from(&server, &address(number), &email, "a wrong password");
            guess.problem(401, "INVALID_API_KEY");
            if number % 10 == 5 {
                // Signing in takes no part of it.
                login_from(&server, &address(number), &ada.email, PASSWORD).expect(200);
            }
        }
        let last = login_from(&server, &address(99), "one-more@example.com", "a wrong password");
        refused_for_a_while(&last);
        login_from(&server, other, &ada.email, PASSWORD).expect(200);
    }
}

/// What a client writes into the header itself is not its address.
#[test]
fn a_forged_address_does_not_lift_the_limit() {
    let server = Options::links_only().start();
    for number in 0..30 {
        let email = format!("{number}@example.com");
        login_from(&server, &format!("198.51.100.{number}"), &email, "a wrong password")
            .expect(401);
    }
    let one_more = login_from(&server, "192.0.2.1", "more@example.com", "a wrong password");
    refused_for_a_while(&one_more);
}

/// The password in the forms of the account counts too.
#[test]
fn a_stolen_session_guesses_the_password_ten_times() {
    let server = start();
    let ada = User::new(&server, "ada");
    let guess = |number: usize| {
        let body = json!({ "password": "a wrong password", "new_password": "another password" });
        let request = ada.api(&server).request(reqwest::Method::POST, "/user/password");
        Answer::to(request.header("x-forwarded-for", format!("192.0.2.{number}")).json(&body))
    };
    for number in 0..10 {
        guess(number).problem(403, "FORBIDDEN");
    }
    refused_for_a_while(&guess(11));
    let body = json!({ "password": "a wrong password" });
    let request = ada.api(&server).request(reqwest::Method::DELETE, "/user/2fa").json(&body);
    refused_for_a_while(&Answer::to(request.header("x-forwarded-for", "192.0.2.50")));
    ada.api(&server).get("/user").expect(200);
}

/// Only who knows the password learns that an account is blocked.
#[test]
fn a_blocked_user_is_told_after_the_right_password_only() {
    let server = start();
    let ada = User::new(&server, "ada");
    let block = |blocked: bool| {
        let body = json!({ "blocked": blocked });
        operator(&server).patch(&format!("/admin/users/{}", ada.id), &body).expect(200);
    };
    block(true);
    for path in ["/auth/login", "/auth/token"] {
        let ask = |password: &str| {
            public(&server, path, &json!({ "email": ada.email, "password": password }))
        };
        let wrong = without_id(&ask("a wrong password"));
        assert!(!wrong.to_string().contains("blocked"), "{wrong}");
        let right = ask(PASSWORD);
        assert!(right.problem(403, "FORBIDDEN")["detail"].as_str().unwrap().contains("blocked"));
        assert!(!right.headers.contains_key("set-cookie"));
    }
    ada.api(&server).get("/user").problem(401, "INVALID_API_KEY");
    block(false);
    ada.api(&server).get("/user").problem(401, "INVALID_API_KEY");
    login_from(&server, "192.0.2.1", &ada.email, PASSWORD).expect(200);
}

/// A user without a password is signed in by no password.
#[test]
fn without_a_password_nobody_signs_in() {
    let server = start();
    add_user(&server, &json!({ "email": "new@example.com" }));
    for password in ["x", "null", "a wrong password", PASSWORD] {
        login_from(&server, "192.0.2.1", "new@example.com", password)
            .problem(401, "INVALID_API_KEY");
    }
    // The first superadmin has neither an address nor a password.
    for email in ["", " ", "null"] {
        assert!([400, 401].contains(&login_from(&server, "192.0.2.2", email, PASSWORD).status));
    }
}
