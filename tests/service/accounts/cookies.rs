//! The session's cookie: its attributes, and the requests that other sites cause with it.

use reqwest::Method;
use reqwest::blocking::RequestBuilder;
use serde_json::json;

use super::{Browser, PASSWORD, User, login, operator, public};
use crate::harness::{Answer, Options, Server};

fn attributes(answer: &Answer) -> Vec<String> {
    let lines: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(lines.len(), 1, "{answer:?}");
    let parts = lines[0].to_str().unwrap().split(';').skip(1);
    parts.map(|part| part.trim().to_lowercase()).collect()
}

#[track_caller]
fn is_bound(answer: &Answer, name: &str, is_secure: bool) {
    let cookie = answer.header("set-cookie");
    let value = cookie.strip_prefix(&format!("{name}=")).unwrap_or_else(|| panic!("{cookie}"));
    assert!(value.split(';').next().unwrap().len() >= 43, "{cookie}");
    let found = attributes(answer);
    for needed in ["httponly", "path=/"] {
        assert!(found.iter().any(|one| one == needed), "{found:?}");
    }
    assert!(found.iter().any(|one| one == "samesite=lax" || one == "samesite=strict"), "{found:?}");
    assert_eq!(found.iter().any(|one| one == "secure"), is_secure, "{found:?}");
    assert!(!found.iter().any(|one| one.starts_with("domain")), "{found:?}");
    let age = found.iter().find_map(|one| one.strip_prefix("max-age="));
    assert!((3_600..=31 * 86_400).contains(&age.unwrap().parse::<u64>().unwrap()), "{found:?}");
}

#[test]
fn the_cookie_is_for_the_service_only() {
    let server = Options::links_only().start();
    let ada = User::new(&server, "ada");
    let answer = login(&server, &ada.email, PASSWORD).expect(200);
    is_bound(&answer, "session", false);
    assert_eq!(answer.header("cache-control"), "private, no-store");
    assert_eq!(answer.data()["user"]["email"], ada.email.as_str());
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    let alias = server.request(Method::POST, "/api/auth/login");
    let body = json!({ "email": ada.email, "password": PASSWORD });
    is_bound(&Answer::to(alias.json(&body)).expect(200), "session", false);
}

fn over(request: RequestBuilder, protocol: &str) -> RequestBuilder {
    if protocol.is_empty() { request } else { request.header("x-forwarded-proto", protocol) }
}

/// Where the site is `https`, no credential is accepted over plain HTTP, and none is given.
#[test]
fn a_secure_site_takes_no_cookie_over_plain_http() {
    let options = Options::links_only().public_url("https://sho.rt").behind_proxy();
    let server = options.start();
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    let made = operator(&server).request(Method::POST, "/admin/users").json(&body);
    Answer::to(over(made, "https")).expect(201);
    let login = |protocol: &str| {
        let request = server.request(Method::POST, "/api/v1/auth/login").json(&body);
        Answer::to(over(request, protocol))
    };
    for plain in ["", "http", "https, http"] {
        let refused = login(plain);
        refused.problem(403, "HTTPS_REQUIRED");
        assert!(!refused.headers.contains_key("set-cookie"));
    }
    let answer = login("https").expect(200);
    is_bound(&answer, "__Host-session", true);
    let browser = Browser::of(&answer);
    let ask =
        |protocol: &str| Answer::to(over(browser.bare(&server, Method::GET, "/user"), protocol));
    ask("https").expect(200);
    for plain in ["", "http"] {
        ask(plain).problem(403, "HTTPS_REQUIRED");
    }
    // A cookie of the other name may come from a plain site.
    let renamed = Browser { cookie: browser.cookie.replace("__Host-", ""), ..browser };
    let request = renamed.bare(&server, Method::GET, "/user");
    Answer::to(over(request, "https")).problem(401, "UNAUTHORIZED");

    let request = server.request(Method::POST, "/api/v1/auth/token").json(&body);
    let token = Answer::to(over(request, "https")).expect(200).json()["token"].clone();
    let request = server.api_as(token.as_str().unwrap()).request(Method::GET, "/user");
    Answer::to(request).problem(403, "HTTPS_REQUIRED");
    for path in ["/auth/token", "/auth/sign-up", "/auth/set-up", "/auth/reset-password"] {
        let answer = public(&server, path, &json!({}));
        assert!((400..500).contains(&answer.status) && answer.status != 429, "{path}: {answer:?}");
    }
}

/// A peer that is no trusted proxy can say what it wants.
#[test]
fn a_stranger_does_not_make_a_request_secure() {
    let server = Options::links_only().public_url("https://sho.rt").start();
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    let request = server.request(Method::POST, "/api/v1/auth/login").json(&body);
    Answer::to(over(request, "https")).problem(403, "HTTPS_REQUIRED");
}

/// Session fixation: signing in takes over no session, and ends the one before.
#[test]
fn each_login_starts_a_new_session() {
    let server = Options::links_only().start();
    let ada = User::new(&server, "ada");
    let login = |cookie: &str| {
        let request = server.request(Method::POST, "/api/v1/auth/login").header("cookie", cookie);
        let body = json!({ "email": ada.email, "password": PASSWORD });
        Answer::to(request.json(&body)).expect(200)
    };
    let planted = format!("session={}", "A".repeat(86));
    let first = Browser::of(&login(&planted));
    assert_ne!(first.cookie, planted);
    let second = Browser::of(&login(&first.cookie));
    assert!(second.cookie != first.cookie && second.csrf != first.csrf);
    first.get(&server, "/user").problem(401, "INVALID_API_KEY");
    second.get(&server, "/user").expect(200);
    let bob = User::new(&server, "bob");
    // Another user signs in in the same browser.
    let body = json!({ "email": bob.email, "password": PASSWORD });
    let request = second.bare(&server, Method::POST, "/auth/login").json(&body);
    let third = Browser::of(&Answer::to(request).expect(200));
    second.get(&server, "/user").problem(401, "INVALID_API_KEY");
    assert_eq!(third.get(&server, "/user").data()["id"], bob.id.as_str());
}

#[test]
fn a_cookie_that_is_not_exactly_one_is_none() {
    let server = Options::links_only().start();
    let ada = User::new(&server, "ada");
    let browser = Browser::new(&server, &ada.email);
    let ask = |cookie: &str| {
        let request = server.request(Method::GET, "/api/v1/user").header("cookie", cookie);
        Answer::to(request).status
    };
    let value = browser.cookie.strip_prefix("session=").unwrap();
    assert_eq!(ask(&browser.cookie), 200);
    assert_eq!(ask(&format!("a=b; {}; c=d", browser.cookie)), 200);
    let mut flipped = value.as_bytes().to_vec();
    flipped[60] = if flipped[60] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    for bad in [
        format!("session=; {}x", browser.cookie),
        format!("{0}; {0}", browser.cookie),
        format!("session={}; {}", "A".repeat(86), browser.cookie),
        format!("session={}", ada.jwt),
        format!("session={flipped}"),
        format!("session={}", &value[..value.len() - 2]),
        format!("session={value}AA"),
        format!("session=\"{value}\""),
        format!("Session={value}"),
        format!("__Host-session={value}"),
        "session=".to_owned(),
    ] {
        assert_eq!(ask(&bad), 401, "{bad}");
    }
    // The value is a credential in no other place.
    for name in ["authorization", "x-api-key"] {
        let request = server.request(Method::GET, "/api/v1/user");
        let value = if name == "authorization" { format!("Bearer {value}") } else { value.into() };
        assert_eq!(Answer::to(request.header(name, value)).status, 401);
    }
    // A header counts, not the cookie beside it.
    let both = browser.request(&server, Method::GET, "/user").bearer_auth("slk_wrong");
    Answer::to(both).problem(401, "INVALID_API_KEY");
}

/// A change with the cookie alone, which a browser also sends for other sites, is refused.
#[test]
fn other_sites_cannot_cause_a_change() {
    let server = Options::links_only().start();
    let ada = User::new(&server, "ada");
    let browser = Browser::new(&server, &ada.email);
    let other = Browser::new(&server, &ada.email);
    let own = server.base.clone();
    let host = own.trim_start_matches("http://");
    let name = json!({ "name": "Changed" });
    let change = |headers: &[(&str, &str)]| {
        let mut request = browser.bare(&server, Method::PATCH, "/user").json(&name);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::to(request)
    };
    let right = ("x-csrf-token", browser.csrf.as_str());
    let (longer, upper) = (format!("{}00", browser.csrf), browser.csrf.to_uppercase());
    let (elsewhere, below) = (format!("http://evil.example/{host}"), format!("http://sub.{host}"));
    let behind = format!("http://{host}.evil.example");
    for refused in [
        &[][..],
        &[("x-csrf-token", "")],
        &[("x-csrf-token", "0")],
        &[("x-csrf-token", &longer)],
        &[("x-csrf-token", &other.csrf)],
        &[("x-csrf-token", &browser.cookie)],
        &[right, ("origin", "https://evil.example")],
        &[right, ("origin", "null")],
        &[right, ("origin", "")],
        &[right, ("origin", &elsewhere)],
        &[right, ("origin", &below)],
        &[right, ("origin", &behind)],
        &[right, ("sec-fetch-site", "cross-site")],
        &[right, ("sec-fetch-site", "same-site")],
        &[right, ("sec-fetch-site", "nonsense")],
        &[right, ("origin", &own), ("sec-fetch-site", "cross-site")],
    ] {
        change(refused).problem(403, "FORBIDDEN");
    }
    assert_eq!(browser.get(&server, "/user").data()["name"], "ada");
    for accepted in [
        &[right][..],
        &[right, ("origin", &own)],
        &[right, ("origin", &own), ("sec-fetch-site", "same-origin")],
    ] {
        change(accepted).expect(200);
    }
    assert!([200, 403].contains(&change(&[("x-csrf-token", &upper)]).status));
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        for path in ["/links", "/auth/logout", "/user/sessions", "/workspaces"] {
            let answer = Answer::to(browser.bare(&server, method.clone(), path).json(&name));
            assert!([403, 405].contains(&answer.status), "{method} {path}: {answer:?}");
        }
    }
    browser.get(&server, "/user").expect(200);
    types_of_forms_are_refused(&server, &browser);
}

/// What a form of another site can send.
fn types_of_forms_are_refused(server: &Server, browser: &Browser) {
    let body = json!({ "name": "Formed" }).to_string();
    for kind in ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""] {
        let request = browser.request(server, Method::POST, "/workspaces").body(body.clone());
        let request = if kind.is_empty() { request } else { request.header("content-type", kind) };
        Answer::to(request).problem(415, "UNSUPPORTED_MEDIA_TYPE");
        for path in ["/auth/login", "/auth/token", "/auth/sign-up", "/auth/reset-password"] {
            let request = server.request(Method::POST, &format!("/api/v1{path}"));
            let request = request.header("content-type", kind).body(body.clone());
            Answer::to(request).problem(415, "UNSUPPORTED_MEDIA_TYPE");
        }
    }
    let list = browser.get(server, "/workspaces").data();
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
}

/// Signing a visitor in as somebody else is refused too; a token or a JWT is exempt.
#[test]
fn another_site_signs_nobody_in_but_may_use_a_token() {
    let server = Options::links_only().start();
    let ada = User::new(&server, "ada");
    let body = json!({ "email": ada.email, "password": PASSWORD });
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        for path in ["/auth/login", "/auth/token", "/auth/sign-up", "/auth/forgot-password"] {
            let request = server.request(Method::POST, &format!("/api/v1{path}"));
            let refused = Answer::to(request.header(name, value).json(&body));
            refused.problem(403, "FORBIDDEN");
            assert!(!refused.headers.contains_key("set-cookie"));
        }
        for credential in [ada.jwt.as_str(), crate::harness::TOKEN] {
            let request = server.api_as(credential).request(Method::PATCH, "/user");
            Answer::to(request.header(name, value).json(&json!({ "name": "N" }))).expect(200);
        }
    }
    let preflight = server.request(Method::OPTIONS, "/api/v1/user");
    let preflight = preflight
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "PATCH");
    let answer = Answer::to(preflight);
    // With a token, but neither with cookies nor with what a session needs.
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    assert!(!answer.header("access-control-allow-headers").to_lowercase().contains("csrf"));
}
