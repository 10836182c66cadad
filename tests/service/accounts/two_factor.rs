//! Two-factor authentication.

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::Method;
use ring::hmac;
use serde_json::{Value, json};

use super::{Browser, PASSWORD, User, login, public, text};
use crate::harness::{Answer, Options, Server, eventually};

/// RFC 4648, section 6.
pub fn base32(text: &str) -> Vec<u8> {
    let (mut bits, mut held, mut bytes) = (0_u32, 0_u32, Vec::new());
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        let at = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|known| *known == letter);
        bits = (bits << 5) | u32::try_from(at.unwrap()).unwrap();
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).unwrap());
        }
    }
    bytes
}

/// RFC 6238 with SHA-1, six digits.
pub fn totp(secret: &[u8], step: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[19] & 15);
    let number = u32::from_be_bytes(tag[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

pub fn step() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 30
}

#[test]
fn the_tests_own_codes_are_those_of_the_rfc() {
    let secret = base32("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    assert_eq!(secret, b"12345678901234567890");
    assert_eq!(totp(&secret, 59 / 30), "287082");
    assert_eq!(totp(&secret, 20_000_000_000 / 30), "353130");
}

/// A user with two-factor authentication.
struct Protected {
    user: User,
    browser: Browser,
    secret: Vec<u8>,
    recovery: Vec<String>,
    /// The step of the last code that was used.
    used: u64,
}

impl Protected {
    fn new(server: &Server, name: &str) -> Self {
        let user = User::new(server, name);
        let browser = Browser::new(server, &user.email);
        let begun =
            browser.post(server, "/user/2fa", &json!({ "password": PASSWORD })).expect(200).data();
        let secret = base32(&text(&begun, "secret"));
        // Not on yet.
        login(server, &user.email, PASSWORD).expect(200);
        let now = step();
        let body = json!({ "code": totp(&secret, now) });
        let codes = browser.post(server, "/user/2fa/confirm", &body).expect(200).data();
        let recovery = serde_json::from_value(codes["recovery_codes"].clone()).unwrap();
        Self { user, browser, secret, recovery, used: now }
    }

    /// A code that was not used before: of the present step, or of the one after it.
    fn code(&mut self) -> String {
        self.used = eventually("the clock reaches the step of a new code", || {
            let next = (self.used + 1).max(step());
            (next <= step() + 1).then_some(next)
        });
        totp(&self.secret, self.used)
    }

    fn sign_in(&self, server: &Server, code: &str) -> Answer {
        let body = json!({ "email": self.user.email, "password": PASSWORD, "code": code });
        public(server, "/auth/login", &body)
    }
}

#[test]
fn a_secret_is_shown_and_confirmed_by_a_code() {
    let server = Options::links_only().behind_proxy().start();
    let ada = User::new(&server, "ada");
    let browser = Browser::new(&server, &ada.email);
    let confirm = |code: &str| browser.post(&server, "/user/2fa/confirm", &json!({ "code": code }));
    confirm("123456").problem(409, "CONFLICT");
    let body = json!({ "password": PASSWORD });
    let disable = || Answer::to(browser.request(&server, Method::DELETE, "/user/2fa").json(&body));
    disable().problem(409, "CONFLICT");

    let set_up = || browser.post(&server, "/user/2fa", &json!({ "password": PASSWORD }));
    // A stolen session must not lock the owner out.
    for (password, status) in [("a wrong password", 403), ("", 400)] {
        browser.post(&server, "/user/2fa", &json!({ "password": password })).expect(status);
    }
    let missing = browser.post(&server, "/user/2fa", &json!({}));
    missing.refuses(400, "VALIDATION_ERROR", &["password"]);
    let begun = set_up().expect(200).data();
    let (secret, uri) = (text(&begun, "secret"), text(&begun, "otpauth_uri"));
    assert_eq!(base32(&secret).len(), 20);
    assert!(uri.starts_with("otpauth://totp/") && uri.contains(&format!("secret={secret}")));
    assert!(text(&begun, "qr_svg").contains("<svg"));
    // Beginning again replaces the secret.
    let again = text(&set_up().expect(200).data(), "secret");
    assert_ne!(again, secret);
    confirm(&totp(&base32(&secret), step())).refuses(400, "VALIDATION_ERROR", &["code"]);
    for wrong in ["", "0", "abcdef", &totp(&base32(&again), step() - 3)] {
        confirm(wrong).refuses(400, "VALIDATION_ERROR", &["code"]);
    }
    assert_eq!(browser.get(&server, "/user").data()["two_factor"], false);
    let codes = confirm(&totp(&base32(&again), step())).expect(200).data();
    let codes: Vec<String> = serde_json::from_value(codes["recovery_codes"].clone()).unwrap();
    assert!(codes.len() >= 8, "{codes:?}");
    let user = browser.get(&server, "/user").expect(200);
    assert_eq!(user.data()["two_factor"], true);
    assert!(!user.text.contains(&again) && codes.iter().all(|code| !user.text.contains(code)));
    set_up().problem(409, "CONFLICT");
}

#[test]
fn a_missing_code_is_asked_for_after_the_right_password_only() {
    let server = Options::links_only().start();
    for (path, name) in [("/auth/login", "ada"), ("/auth/token", "bob")] {
        let ada = Protected::new(&server, name);
        let ask = |password: &str, code: Value| {
            let body = json!({ "email": ada.user.email, "password": password, "code": code });
            public(&server, path, &body)
        };
        for none in [json!(null), json!(""), json!("  ")] {
            let problem = ask(PASSWORD, none).problem(401, "NEEDS_2FA");
            assert_eq!(problem["error"], "needs_2fa");
            assert_eq!(
                ask("a wrong password", json!(null)).problem(401, "INVALID_API_KEY")["error"],
                Value::Null
            );
        }
        for wrong in ["000000", "abcdef", "0", "123456789012", "' OR 1=1"] {
            let answer = ask(PASSWORD, json!(wrong));
            answer.problem(401, "INVALID_API_KEY");
            assert!(!answer.headers.contains_key("set-cookie"));
            login(&server, &ada.user.email, PASSWORD).problem(401, "NEEDS_2FA");
        }
    }
}

#[test]
fn a_code_is_accepted_once() {
    let server = Options::links_only().start();
    let mut ada = Protected::new(&server, "ada");
    // The one that confirmed the set-up was used by it.
    ada.sign_in(&server, &totp(&ada.secret, ada.used)).problem(401, "INVALID_API_KEY");
    let code = ada.code();
    let browser = Browser::of(&ada.sign_in(&server, &format!("{} {}", &code[..3], &code[3..])));
    browser.get(&server, "/user").expect(200);
    ada.sign_in(&server, &code).problem(401, "INVALID_API_KEY");
    // Nor one from before it.
    ada.sign_in(&server, &totp(&ada.secret, ada.used - 1)).problem(401, "INVALID_API_KEY");

    // Of many at once with the same recovery code, one gets in; then none.
    let recovery = ada.recovery[0].clone();
    let statuses = std::thread::scope(|scope| {
        let asked: Vec<_> =
            (0..5).map(|_| scope.spawn(|| ada.sign_in(&server, &recovery).status)).collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    ada.sign_in(&server, &recovery).problem(401, "INVALID_API_KEY");
    ada.sign_in(&server, &ada.recovery[1].to_uppercase().replace('-', "")).expect(200);
    ada.sign_in(&server, &ada.recovery[1]).problem(401, "INVALID_API_KEY");
}

/// What was used stays used after the index is rebuilt from the log.
#[test]
fn used_codes_outlive_the_index() {
    let options = Options::links_only();
    let server = options.start();
    let mut ada = Protected::new(&server, "ada");
    let code = ada.code();
    ada.sign_in(&server, &code).expect(200);
    ada.sign_in(&server, &ada.recovery[0]).expect(200);
    assert!(server.stop().success());
    let rebuilt = crate::harness::slugline()
        .args(["rebuild", "index", "--data-dir"])
        .arg(options.data.path())
        .output()
        .unwrap();
    assert!(rebuilt.status.success());
    let server = options.start();
    ada.sign_in(&server, &code).problem(401, "INVALID_API_KEY");
    ada.sign_in(&server, &ada.recovery[0]).problem(401, "INVALID_API_KEY");
    ada.sign_in(&server, &ada.recovery[1]).expect(200);
}

/// The right password does not give back the attempts at the code: each six digits long, they would
/// be guessed soon.
#[test]
fn guesses_of_codes_are_limited_for_those_who_know_the_password() {
    let server = Options::links_only().behind_proxy().start();
    let ada = Protected::new(&server, "ada");
    let ask = |number: usize, code: Option<&str>| {
        let body = json!({ "email": ada.user.email, "password": PASSWORD, "code": code });
        let request = server.request(Method::POST, "/api/v1/auth/token");
        let request = request.header("x-forwarded-for", format!("198.51.100.{number}"));
        Answer::to(request.json(&body)).status
    };
    let mut statuses = Vec::new();
    for number in 0..30 {
        statuses.push(ask(number, Some("000000")));
        if number % 4 == 3 {
            statuses.push(ask(100 + number, None));
        }
    }
    let guesses = statuses.iter().filter(|status| **status == 401).count();
    assert!(statuses.contains(&429), "{guesses} guesses: {statuses:?}");
}

#[test]
fn turning_it_off_needs_the_password() {
    let server = Options::links_only().start();
    let mut ada = Protected::new(&server, "ada");
    let code = ada.code();
    let disable = |body: Value| {
        Answer::to(ada.browser.request(&server, Method::DELETE, "/user/2fa").json(&body))
    };
    disable(json!({ "password": "a wrong password" })).problem(403, "FORBIDDEN");
    disable(json!({ "password": "" })).refuses(400, "VALIDATION_ERROR", &["password"]);
    disable(json!({})).refuses(400, "VALIDATION_ERROR", &["password"]);
    disable(json!({ "password": code })).problem(403, "FORBIDDEN");
    login(&server, &ada.user.email, PASSWORD).problem(401, "NEEDS_2FA");
    // A change of the password leaves it on.
    let body = json!({ "password": PASSWORD, "new_password": "another password" });
    let changed = ada.browser.post(&server, "/user/password", &body).expect(200);
    login(&server, &ada.user.email, "another password").problem(401, "NEEDS_2FA");
    let browser = Browser::of(&changed);
    let body = json!({ "password": "another password" });
    Answer::to(browser.request(&server, Method::DELETE, "/user/2fa").json(&body)).expect(204);
    login(&server, &ada.user.email, "another password").expect(200);
}
