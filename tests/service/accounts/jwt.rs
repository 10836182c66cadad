//! JWTs that were tampered with. All get 401, none gets 500.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::Method;
use ring::hmac;
use serde_json::{Value, json};

use super::{Browser, User, operator, text};
use crate::harness::{Answer, Options, Server};

fn encode(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

fn decode(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// A JWT in parts, and the key that signs it, from the data folder.
struct Parts {
    header: Value,
    payload: Value,
    signature: String,
    key: Vec<u8>,
}

impl Parts {
    fn of(server: &Server, jwt: &str) -> Self {
        let parts: Vec<_> = jwt.split('.').collect();
        let stored = std::fs::read(server.data.path().join("jwt.keys")).unwrap();
        let stored: Value = serde_json::from_slice(&stored).unwrap();
        let key = serde_json::from_value(stored[0]["secret"].clone()).unwrap();
        let (header, payload) = (decode(parts[0]), decode(parts[1]));
        Self { header, payload, signature: parts[2].to_owned(), key }
    }

    fn with_header(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut header = self.header.clone();
        change(&mut header);
        Self::signed(&encode(&header), &encode(&self.payload), &self.key)
    }

    /// Signed properly: only the claims can be refused.
    fn with_payload(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut payload = self.payload.clone();
        change(&mut payload);
        Self::signed(&encode(&self.header), &encode(&payload), &self.key)
    }

    fn signed(header: &str, payload: &str, key: &[u8]) -> String {
        let signed = format!("{header}.{payload}");
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let tag = hmac::sign(&key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    }
}

#[track_caller]
fn refused(server: &Server, jwt: &str) {
    /// Each is sent from an address of its own: what has not the form of a JWT counts as a guess.
    static ADDRESS: AtomicU32 = AtomicU32::new(0);
    for (name, value) in [("authorization", format!("Bearer {jwt}")), ("x-api-key", jwt.into())] {
        for path in ["/user", "/user/sessions", "/links", "/admin/users", "/admin/reconcile"] {
            let address = Ipv4Addr::from(0xC633_0000 + ADDRESS.fetch_add(1, Ordering::Relaxed));
            let request = server.request(Method::GET, &format!("/api/v1{path}"));
            let request = request.header("x-forwarded-for", address.to_string());
            let answer = Answer::to(request.header(name, &value));
            assert_eq!(answer.status, 401, "{path} {jwt}: {answer:?}");
        }
    }
}

fn start() -> (Server, User) {
    let server = Options::links_only().behind_proxy().start();
    let ada = User::new(&server, "ada");
    (server, ada)
}

#[test]
fn a_jwt_is_taken_in_either_header_as_a_token_is() {
    let (server, ada) = start();
    for (name, value) in [
        ("authorization", format!("Bearer {}", ada.jwt)),
        ("authorization", format!("bearer {}", ada.jwt)),
        ("x-api-key", ada.jwt.clone()),
    ] {
        let request = server.request(Method::GET, "/api/v1/user").header(name, value);
        assert_eq!(Answer::to(request).expect(200).data()["email"], ada.email.as_str());
    }
    let parts = Parts::of(&server, &ada.jwt);
    assert_eq!(parts.header["alg"], "HS256");
    assert!(!parts.payload.to_string().contains(&ada.email), "{}", parts.payload);
    let lifetime = parts.payload["exp"].as_u64().unwrap() - parts.payload["iat"].as_u64().unwrap();
    assert_eq!(lifetime, 3_600);
    // What the tests below sign is accepted as long as nothing is changed.
    let resigned = parts.with_payload(|_| ());
    server.api_as(resigned).get("/user").expect(200);
}

#[test]
fn another_header_is_refused() {
    let (server, ada) = start();
    let parts = Parts::of(&server, &ada.jwt);
    let payload = encode(&parts.payload);
    for algorithm in ["none", "None", "NONE", "", "HS384", "HS512", "RS256", "ES256", "hs256"] {
        refused(&server, &parts.with_header(|header| header["alg"] = json!(algorithm)));
        let header = encode(&json!({ "alg": algorithm, "typ": "JWT", "kid": parts.header["kid"] }));
        refused(&server, &format!("{header}.{payload}."));
        refused(&server, &format!("{header}.{payload}.{}", parts.signature));
    }
    for header in [
        json!({ "alg": "HS256", "typ": "JWT" }),
        json!({ "alg": "HS256", "kid": parts.header["kid"] }),
        json!({ "alg": "none" }),
        json!({ "alg": "HS256", "typ": "JWT", "kid": parts.header["kid"], "crit": ["exp"] }),
        json!({ "alg": "HS256", "typ": "JWT", "kid": parts.header["kid"], "jwk": { "kty": "oct", "k": "" } }),
        json!({ "alg": ["HS256"], "typ": "JWT", "kid": parts.header["kid"] }),
        json!([]),
        json!(null),
    ] {
        refused(&server, &Parts::signed(&encode(&header), &payload, &parts.key));
    }
    for kid in ["", "0", "0000000000000000", "../../jwt.keys", "/dev/null", "' OR 1=1 --"] {
        refused(&server, &parts.with_header(|header| header["kid"] = json!(kid)));
        // Keys that somebody may guess for such a name.
        for key in [&b""[..], kid.as_bytes(), b"secret", &[0; 32]] {
            let header = encode(&json!({ "alg": "HS256", "typ": "JWT", "kid": kid }));
            refused(&server, &Parts::signed(&header, &payload, key));
        }
    }
    let header = encode(&parts.header);
    for key in [&b""[..], b"secret", &[0; 32], text(&parts.header, "kid").as_bytes()] {
        refused(&server, &Parts::signed(&header, &payload, key));
    }
}

#[test]
fn other_claims_are_refused_though_they_are_signed() {
    let (server, ada) = start();
    let bob = User::new(&server, "bob");
    let (parts, other) = (Parts::of(&server, &ada.jwt), Parts::of(&server, &bob.jwt));
    let exp = parts.payload["exp"].as_u64().unwrap();
    for wrong in [
        json!(exp.to_string()),
        json!(9_999_999_999.5),
        json!(-1),
        json!(0),
        json!(1),
        json!(exp - 7_200),
        json!(null),
        json!([exp]),
        json!(1e300),
    ] {
        refused(&server, &parts.with_payload(|payload| payload["exp"] = wrong));
    }
    for name in ["iss", "aud", "sub", "jti", "exp", "iat", "nbf"] {
        refused(
            &server,
            &parts.with_payload(|payload| {
                payload.as_object_mut().unwrap().remove(name);
            }),
        );
        for wrong in [json!(null), json!("x"), json!(["x"]), json!({}), json!(true), json!(-1)] {
            refused(&server, &parts.with_payload(|payload| payload[name] = wrong));
        }
    }
    let later = exp + 100_000;
    refused(&server, &parts.with_payload(|payload| payload["nbf"] = json!(later)));
    refused(&server, &parts.with_payload(|payload| payload["iat"] = json!(later)));
    let audience = parts.payload["aud"].clone();
    refused(&server, &parts.with_payload(|payload| payload["aud"] = json!([audience])));
    refused(&server, &parts.with_payload(|payload| payload["iss"] = json!("https://evil.example")));
    // One user's session does not belong to another.
    refused(&server, &parts.with_payload(|payload| payload["sub"] = other.payload["sub"].clone()));
    refused(&server, &parts.with_payload(|payload| payload["jti"] = other.payload["jti"].clone()));
    let nobody = json!("user_00000000000000000000000000");
    refused(&server, &parts.with_payload(|payload| payload["sub"] = nobody));
    // A claim twice, of which either could count.
    let twice = parts.payload.to_string().replacen('{', &format!("{{\"exp\":{later},"), 1);
    let twice = URL_SAFE_NO_PAD.encode(twice);
    refused(&server, &Parts::signed(&encode(&parts.header), &twice, &parts.key));
}

#[test]
fn a_jwt_that_was_cut_or_pasted_is_refused() {
    let (server, ada) = start();
    let bob = User::new(&server, "bob");
    let (parts, other) = (Parts::of(&server, &ada.jwt), Parts::of(&server, &bob.jwt));
    let (header, payload) = (encode(&parts.header), encode(&parts.payload));
    let raw: Vec<_> = ada.jwt.split('.').collect();
    let bobs: Vec<_> = bob.jwt.split('.').collect();
    refused(&server, &format!("{}.{}.{}", raw[0], bobs[1], raw[2]));
    refused(&server, &format!("{}.{}.{}", raw[0], raw[1], bobs[2]));
    let mut forged = parts.payload.clone();
    forged["sub"] = other.payload["sub"].clone();
    refused(&server, &format!("{}.{}.{}", raw[0], encode(&forged), raw[2]));
    for length in [ada.jwt.len() - 1, ada.jwt.len() - 2, ada.jwt.len() / 2, 12, 3] {
        refused(&server, &ada.jwt[..length]);
    }
    for broken in [
        format!("{}.{}.", raw[0], raw[1]),
        format!("{}.{}", raw[0], raw[1]),
        format!("{}..{}", raw[0], raw[2]),
        format!(".{}.{}", raw[1], raw[2]),
        format!("{}.x", ada.jwt),
        format!("{}=", ada.jwt),
        format!("{}A", ada.jwt),
        format!("{}.{}.{}=", raw[0], raw[1], raw[2]),
        format!("{}.{}.{}", STANDARD.encode(parts.header.to_string()), raw[1], raw[2]),
        format!("ey{}.x.y", "A".repeat(3_000)),
        "eyJ.eyJ.eyJ".to_owned(),
        "ey..".to_owned(),
        format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode([0; 32])),
        format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode([])),
    ] {
        refused(&server, &broken);
    }
    ada.api(&server).get("/user").expect(200);
}

#[test]
fn a_jwt_dies_with_its_session() {
    let (server, ada) = start();
    let browser = Browser::new(&server, &ada.email);
    let list = browser.get(&server, "/user/sessions").data();
    browser.delete(&server, &format!("/user/sessions/{}", text(&list[0], "id"))).expect(204);
    refused(&server, &ada.jwt);
    // A browser's session is none for a JWT, though it lives.
    let parts = Parts::of(&server, &ada.jwt);
    let ended = parts.with_payload(|payload| payload["exp"] = json!(9_999_999_999_u64));
    refused(&server, &ended);

    let bob = User::new(&server, "bob");
    operator(&server).delete(&format!("/admin/users/{}", bob.id)).expect(204);
    refused(&server, &bob.jwt);
}

/// A key from before a restart still counts; one that was removed does not.
#[test]
fn keys_outlive_a_restart_and_sign_all_out_when_removed() {
    let options = Options::links_only().public_url("http://sho.rt");
    let server = options.start();
    let ada = User::new(&server, "ada");
    assert!(server.stop().success());
    let server = options.start();
    ada.api(&server).get("/user").expect(200);
    assert!(server.stop().success());
    std::fs::remove_file(options.data.path().join("jwt.keys")).unwrap();
    let server = options.start();
    refused(&server, &ada.jwt);
    // Under another address of the site, a JWT of this one is foreign.
    let bob = User::new(&server, "bob");
    assert!(server.stop().success());
    let moved = Options::at(&options.data).clickhouse_away().flag("--geo-db", "none");
    let moved = moved.flag("--crawler-list", "none").public_url("http://other.example");
    refused(&moved.start(), &bob.jwt);
}
