//! Tokens, their forgeries, and the rotation of keys.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;

use ::hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Sha256, Sha384};
use uuid::Uuid;

use super::*;

const ISSUER: &str = "https://sho.rt";
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
const HOUR: Duration = Duration::from_secs(3_600);
const NOW_S: u64 = 1_900_000_000;
const NOW_MS: u64 = NOW_S * 1_000;
const USER: UserId = UserId::new(Uuid::from_u128(7));
const SESSION: SessionId = SessionId::new(Uuid::from_u128(8));

fn keys() -> (tempfile::TempDir, PathBuf, JwtKeys) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let keys = JwtKeys::open(&path, ISSUER, NOW_MS).unwrap();
    (folder, path, keys)
}

fn json_of(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn part(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// Signs with the service's own key, by another implementation of HMAC.
fn sign(keys: &JwtKeys, header: &Value, payload: &str) -> String {
    let secret = keys.0.keys.load().last().unwrap().stored.secret;
    let signed = format!("{}.{}", part(header.to_string()), part(payload));
    let mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap().chain_update(&signed).finalize();
    format!("{signed}.{}", part(mac.into_bytes()))
}

/// A header and a payload as issued.
fn issued(keys: &JwtKeys) -> (Value, Value) {
    let token = keys.issue(USER, SESSION, NOW_MS, HOUR);
    let parts: Vec<_> = token.split('.').collect();
    (json_of(parts[0]), json_of(parts[1]))
}

#[test]
fn a_token_says_what_was_issued() {
    let (_folder, path, keys) = keys();
    let token = keys.issue(USER, SESSION, NOW_MS + 999, HOUR);
    let claims =
        Claims { user: USER, session: SESSION, issued_at: NOW_S, expires_at: NOW_S + 3_600 };
    assert_eq!(keys.verify(&token, NOW_MS), Ok(claims));
    let (header, payload) = issued(&keys);
    let kid = keys.0.keys.load()[0].stored.kid.clone();
    assert_eq!(header, json!({ "alg": "HS256", "typ": "JWT", "kid": kid }));
    let (sub, jti) = (USER.to_string(), SESSION.to_string());
    assert!(sub.starts_with("user_") && jti.starts_with("sess_"));
    let aud = "https://sho.rt/api";
    let expected = json!({ "iss": ISSUER, "aud": aud, "sub": sub, "jti": jti,
        "iat": NOW_S, "nbf": NOW_S, "exp": NOW_S + 3_600 });
    assert_eq!(payload, expected);
    // After a restart, and signed by another implementation.
    assert_eq!(JwtKeys::open(&path, ISSUER, NOW_MS).unwrap().verify(&token, NOW_MS), Ok(claims));
    assert_eq!(keys.verify(&sign(&keys, &header, &payload.to_string()), NOW_MS), Ok(claims));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let long = keys.issue(USER, SESSION, NOW_MS, Duration::MAX);
    assert_eq!(keys.verify(&long, NOW_MS).unwrap().expires_at, NOW_S + 30 * 86_400);
}

#[test]
fn a_token_is_valid_for_its_time() {
    let (_folder, _path, keys) = keys();
    let token = keys.issue(USER, SESSION, NOW_MS, HOUR);
    let is_valid = |now_s: u64| keys.verify(&token, now_s * 1_000).is_ok();
    assert!(is_valid(NOW_S + 3_599) && !is_valid(NOW_S + 3_600), "no leeway at the end");
    assert!(is_valid(NOW_S - 60) && !is_valid(NOW_S - 61), "a clock may be ahead");
    let (header, payload) = issued(&keys);
    for claim in ["iat", "nbf"] {
        let mut early = payload.clone();
        early[claim] = (NOW_S + 60).into();
        assert!(keys.verify(&sign(&keys, &header, &early.to_string()), NOW_MS).is_ok());
        early[claim] = (NOW_S + 61).into();
        assert!(keys.verify(&sign(&keys, &header, &early.to_string()), NOW_MS).is_err());
    }
}

#[test]
fn other_algorithms_and_headers_are_refused() {
    let (_folder, _path, keys) = keys();
    let (header, payload) = issued(&keys);
    let payload = payload.to_string();
    assert!(keys.verify(&sign(&keys, &header, &payload), NOW_MS).is_ok());
    for (field, value) in [
        ("alg", json!("none")),
        ("alg", json!("None")),
        ("alg", json!("hs256")),
        ("alg", json!("HS384")),
        ("alg", json!("RS256")),
        ("alg", json!(null)),
        ("alg", json!(["HS256"])),
        ("kid", json!("0000000000000000")),
        ("kid", json!("")),
        ("kid", json!(null)),
        ("kid", json!("../jwt.keys")),
        ("typ", json!("at+jwt")),
        ("crit", json!(["exp"])),
        ("jwk", json!({ "kty": "oct", "k": "AAAA" })),
        ("b64", json!(false)),
    ] {
        let mut forged = header.clone();
        forged[field] = value;
        let token = sign(&keys, &forged, &payload);
        assert_eq!(keys.verify(&token, NOW_MS), Err(InvalidJwt), "{forged}");
        // And as without a signature.
        let (signed, _) = token.rsplit_once('.').unwrap();
        assert_eq!(keys.verify(&format!("{signed}."), NOW_MS), Err(InvalidJwt), "{forged}");
    }
    for field in ["alg", "kid", "typ"] {
        let mut forged = header.clone();
        forged.as_object_mut().unwrap().remove(field);
        assert!(keys.verify(&sign(&keys, &forged, &payload), NOW_MS).is_err(), "no {field}");
    }
    // A header that says HS384 truthfully.
    let mut forged = header.clone();
    forged["alg"] = "HS384".into();
    let secret = keys.0.keys.load()[0].stored.secret;
    let signed = format!("{}.{}", part(forged.to_string()), part(&payload));
    let mac = Hmac::<Sha384>::new_from_slice(&secret).unwrap().chain_update(&signed).finalize();
    assert!(keys.verify(&format!("{signed}.{}", part(mac.into_bytes())), NOW_MS).is_err());
}

#[test]
fn wrong_missing_and_foreign_claims_are_refused() {
    let (_folder, path, keys) = keys();
    let (header, payload) = issued(&keys);
    let exp = NOW_S + 3_600;
    let mut wrong: Vec<(&str, Value)> = vec![
        ("iss", json!("https://evil.example")),
        ("iss", json!("https://sho.rt/")),
        ("aud", json!(ISSUER)),
        ("aud", json!(["https://sho.rt/api"])),
        ("aud", json!("https://evil.example/api")),
        ("sub", json!(SESSION.to_string())),
        ("sub", json!("")),
        ("jti", json!(USER.to_string())),
        ("exp", json!(NOW_S)),
        ("exp", json!(0)),
    ];
    for claim in ["exp", "nbf", "iat"] {
        for value in [json!(exp.to_string()), json!(1_900_003_600.0), json!(1_900_003_600.5)] {
            wrong.push((claim, value));
        }
        for value in [json!(-1), json!(null), json!(true), json!([exp]), json!({})] {
            wrong.push((claim, value));
        }
    }
    for (claim, value) in wrong {
        let mut forged = payload.clone();
        forged[claim] = value;
        let token = sign(&keys, &header, &forged.to_string());
        assert_eq!(keys.verify(&token, NOW_MS), Err(InvalidJwt), "{forged}");
    }
    for claim in ["iss", "aud", "sub", "jti", "iat", "nbf", "exp"] {
        let mut forged = payload.clone();
        forged.as_object_mut().unwrap().remove(claim);
        let token = sign(&keys, &header, &forged.to_string());
        assert_eq!(keys.verify(&token, NOW_MS), Err(InvalidJwt), "no {claim}");
    }
    let text = payload.to_string();
    let twice = text.replacen('{', "{\"exp\":99999999999,", 1);
    let huge = text.replace(&exp.to_string(), "18446744073709551616");
    for payload in ["", "null", "[]", "{}", &twice, &huge, &format!("{text}x")] {
        assert!(keys.verify(&sign(&keys, &header, payload), NOW_MS).is_err(), "{payload}");
    }
    let moved = JwtKeys::open(&path, "https://other.example", NOW_MS).unwrap();
    assert!(moved.verify(&sign(&keys, &header, &text), NOW_MS).is_err());
}

#[test]
fn any_change_to_a_token_is_refused() {
    let (_folder, _path, keys) = keys();
    let token = keys.issue(USER, SESSION, NOW_MS, HOUR);
    for at in 0..token.len() {
        for other in ['A', 'B', '.', '=', '+', ' '] {
            let mut forged = token.clone();
            forged.replace_range(at..=at, &other.to_string());
            assert_eq!(keys.verify(&forged, NOW_MS).is_ok(), forged == token, "byte {at}");
        }
        assert!(keys.verify(&token[..at], NOW_MS).is_err());
    }
    let padded = format!("{token}=");
    let longer = format!("{token}.");
    for bad in ["", ".", "..", "...", "a.b.c", &padded, &longer, &"a.".repeat(5_000)] {
        assert!(keys.verify(bad, NOW_MS).is_err(), "{bad}");
    }
}

#[test]
fn keys_rotate_and_old_ones_stay_as_long_as_their_tokens() {
    let (_folder, path, keys) = keys();
    let kids = |keys: &JwtKeys| -> Vec<String> {
        keys.0.keys.load().iter().map(|key| key.stored.kid.clone()).collect()
    };
    let first = kids(&keys);
    let (before, after) = (NOW_MS + 30 * DAY_MS - 1, NOW_MS + 30 * DAY_MS);
    assert!(!keys.rotate_if_due(before).unwrap());
    let last_token = keys.issue(USER, SESSION, before, MAX_LIFETIME);
    assert!(keys.rotate_if_due(after).unwrap());
    assert!(!keys.rotate_if_due(after).unwrap());
    assert_eq!(kids(&keys).len(), 2);
    assert_eq!(kids(&keys)[0], first[0]);
    let new_token = keys.issue(USER, SESSION, after, HOUR);
    let restarted = JwtKeys::open(&path, ISSUER, after).unwrap();
    assert_eq!(kids(&restarted), kids(&keys));
    for keys in [&keys, &restarted] {
        assert!(keys.verify(&last_token, after).is_ok() && keys.verify(&new_token, after).is_ok());
    }
    // Until the last moment of its last token.
    let end = after + 30 * DAY_MS;
    assert!(!keys.rotate_if_due(end - 1).unwrap());
    assert!(keys.verify(&last_token, end - 2_000).is_ok());
    assert!(keys.rotate_if_due(end).unwrap());
    assert!(!kids(&keys).contains(&first[0]));
    assert_eq!(kids(&keys).len(), 2);
    // A start is enough, whatever the clock said before.
    assert_eq!(kids(&JwtKeys::open(&path, ISSUER, end + 365 * DAY_MS).unwrap()).len(), 2);
    assert!(JwtKeys::open(&path, ISSUER, NOW_MS).unwrap().issue(USER, SESSION, 0, HOUR).len() > 9);
}

#[test]
fn an_invalid_file_is_named_and_kept() {
    let (_folder, path, _keys) = keys();
    let whole = fs::read(&path).unwrap();
    for len in 0..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let error = JwtKeys::open(&path, ISSUER, NOW_MS).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(FILE), "{error}");
        assert_eq!(fs::read(&path).unwrap(), whole[..len]);
    }
}
