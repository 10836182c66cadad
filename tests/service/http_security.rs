//! Required request headers and security headers of responses.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Output;

use reqwest::Method;
use reqwest::blocking::RequestBuilder;
use serde_json::json;

use crate::harness::{
    Answer, Chromium, Options, PATIENCE, Server, TOKEN, client, shared, slugline,
};

/// The response of the service to these bytes, on a new connection.
fn raw(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_request_without_exactly_one_valid_host_is_refused() {
    let server = shared();
    let link = server.link();
    let slug = &link.slug;
    for target in [format!("/{slug}"), "/livez".to_owned(), format!("http://sho.rt/{slug}")] {
        for hosts in [
            "",
            "Host:\r\n",
            "Host: a b\r\n",
            "Host: a/b\r\n",
            "Host: a:port\r\n",
            "Host: a\r\nHost: a\r\n",
            "Host: a\r\nhost: b\r\n",
        ] {
            let request = format!("GET {target} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
            let answer = raw(&server, &request);
            assert!(answer.starts_with("HTTP/1.1 400 "), "{request}{answer}");
            assert!(answer.contains("application/problem+json"), "{request}{answer}");
            assert!(answer.contains("\"errors\":{\"Host\":["), "{request}{answer}");
        }
    }
    // HTTP/1.0 has no Host; the host of an absolute target is used but must be valid.
    for (request, status) in [
        (format!("GET /{slug} HTTP/1.0\r\n\r\n"), 302),
        (format!("GET /{slug} HTTP/1.0\r\nHost: a b\r\n\r\n"), 400),
        (format!("GET /{slug} HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n"), 302),
        (format!("GET http://a/{slug} HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n"), 302),
        (format!("GET http://u@a/{slug} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), 400),
    ] {
        let answer = raw(&server, &request);
        let found = answer.split(' ').nth(1);
        assert_eq!(found, Some(status.to_string().as_str()), "{request}{answer}");
    }
    server.await_clicks(&link, 3);
}

#[test]
fn only_a_plain_request_id_is_taken_over() {
    let server = shared();
    let answered = |id: &str| {
        let request = server.request(Method::GET, "/api/v1/nothing").header("x-request-id", id);
        let answer = Answer::to(request);
        answer.problem(404, "NOT_FOUND");
        answer.header("x-request-id").to_owned()
    };
    let longest = "x".repeat(128);
    for id in ["a", "01a1feb3-d222-767a-b978-f51d7dc40791", "Root=1-67.a_b:c/d+e==", &longest] {
        assert_eq!(answered(id), id);
    }
    let too_long = "x".repeat(129);
    for id in ["", "a b", "a\"b", "<script>", "a,b", "caf\u{e9}", &too_long] {
        let made = answered(id);
        assert!(made.len() == 36 && made != id, "{id:?}: {made}");
    }
}

#[test]
fn no_answer_is_to_be_sniffed() {
    let server = shared();
    let link = server.link();
    let text = json!({ "kind": "text", "title": "x", "payload": { "text": "x" } });
    let page = format!("/l/{}", server.api().create(&text).slug);
    let redirect = format!("/{}", link.slug);
    for (method, path, status) in [
        (Method::GET, redirect.as_str(), 302),
        (Method::HEAD, &redirect, 302),
        (Method::POST, &redirect, 404),
        (Method::GET, &page, 200),
        (Method::GET, "/nothing-here", 404),
        (Method::GET, "/livez", 200),
        (Method::GET, "/metrics", 200),
        (Method::DELETE, "/metrics", 405),
        (Method::GET, "/api/v1/links", 401),
        (Method::GET, "/api/v1/nothing", 404),
        (Method::GET, "/api/v1/openapi.json", 200),
        (Method::GET, "/api/v1/docs/", 200),
        (Method::GET, "/api/v1/docs/swagger-ui-bundle.js", 200),
    ] {
        let answer = Answer::to(server.request(method, path)).expect(status);
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert!(!answer.headers.contains_key("strict-transport-security"), "{path}");
    }
    let export = server.api().get("/links/export?format=csv").expect(200);
    assert_eq!(export.header("x-content-type-options"), "nosniff");
    // By hyper, too: it takes over the connection of a visit that has a body.
    let body = Answer::to(server.request(Method::GET, &redirect).body("x")).expect(302);
    assert_eq!(body.header("x-content-type-options"), "nosniff");
}

/// Probes, metrics and the operator's API are served by the admin listener alone, everything else
/// by the public one alone; the program's own commands find both.
#[test]
fn the_admin_listener_serves_the_operator_and_nobody_else() {
    let options = Options::links_only().admin_listen();
    let server = options.start();
    let link = server.link();
    let at = |base: &str, path: &str| Answer::to(client().get(format!("{base}{path}")));
    let redirect = format!("/{}", link.slug);
    for (path, public, admin) in [
        ("/livez", 404, 200),
        ("/readyz", 404, 200),
        ("/metrics", 404, 200),
        ("/api/v1/admin/reconcile", 404, 401),
        ("/api/v1/admin/rebuild/index", 404, 401),
        ("/api/v1/admin/tokens", 404, 401),
        ("/api/v1/links", 401, 404),
        ("/api/v1/openapi.json", 200, 200),
        ("/no-such-path", 404, 404),
        (&redirect, 302, 404),
    ] {
        at(&server.base, path).expect(public);
        at(&server.admin_base, path).expect(admin);
    }
    let documented = |base: &str| at(base, "/api/v1/openapi.json").expect(200).text;
    for (base, is_admin) in [(&server.base, false), (&server.admin_base, true)] {
        let document = documented(base);
        assert_eq!(document.contains("\"/admin/rebuild/{projection}\""), is_admin);
        assert_eq!(document.contains("\"/links\""), !is_admin);
    }
    let file = server.data.path().join("rows.csv");
    std::fs::write(&file, "destination,slug\nhttps://example.com,imported\n").unwrap();
    for arguments in [&["token", "list"][..], &["import", "rows.csv"]] {
        let mut command = slugline();
        command.args(arguments).current_dir(server.data.path());
        command.arg("--data-dir").arg(server.data.path());
        if arguments[0] == "import" {
            command.env("SLUGLINE_TOKEN", TOKEN).env("SLUGLINE_URL", &server.base);
        }
        let Output { status, stderr, .. } = command.output().unwrap();
        assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    }
    server.get("/imported").expect(302);
    assert!(server.stop().success());
}

#[test]
fn the_reference_loads_nothing_from_elsewhere_and_stands_in_no_frame() {
    let server = shared();
    for path in ["/api/v1/docs/", "/api/v1/docs/index.html", "/api/v1/docs/swagger-ui.css"] {
        let answer = server.get(path).expect(200);
        let policy = answer.header("content-security-policy");
        for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-frame-options"), "DENY");
    }
    let Some(mut browser) = Chromium::start() else { return };
    let mut faults = browser.load(&format!("http://{}/api/v1/docs/", server.address()));
    let operations = "document.querySelectorAll('.opblock').length";
    crate::harness::eventually("the operations are shown", || {
        browser.evaluate(operations).as_u64().filter(|count| *count > 50)
    });
    // One is opened, with its examples and schemas.
    browser.evaluate("document.querySelector('.opblock-summary-control').click()");
    crate::harness::eventually("an operation is open", || {
        (browser.evaluate("document.querySelectorAll('.opblock-body').length") == 1).then_some(())
    });
    faults.extend(browser.faults());
    let own = format!("\"url\":\"http://{}/", server.address());
    // It has scripts, and they ask for the document.
    faults.retain(|fault| {
        let is_request = fault.starts_with("a request");
        let is_own = fault.contains(&own) || fault.contains("\"url\":\"data:");
        !(fault.ends_with(" scripts") || is_request && is_own)
    });
    assert_eq!(faults, Vec::<String>::new());
}

/// `GET /api/v1/links` with the owner's token, before it is sent.
fn list(server: &Server) -> RequestBuilder {
    server.request(Method::GET, "/api/v1/links").bearer_auth(TOKEN)
}

#[track_caller]
fn refused(request: RequestBuilder, advice: &[&str]) {
    let problem = Answer::to(request).problem(403, "HTTPS_REQUIRED");
    let detail = problem["detail"].as_str().unwrap();
    for part in advice {
        assert!(detail.contains(part), "{detail}");
    }
}

#[test]
fn no_token_is_accepted_over_plain_http_where_the_public_url_is_https() {
    let server = Options::links_only().public_url("https://sho.rt").start();
    let advice = ["https://sho.rt", "--trusted-proxies 127.0.0.1", "X-Forwarded-Proto: https"];
    refused(list(&server), &advice);
    refused(list(&server).header("x-forwarded-proto", "https"), &advice);
    refused(list(&server).header("forwarded", "proto=https;for=192.0.2.1"), &advice);
    let key = server.request(Method::GET, "/api/v1/links").header("x-api-key", TOKEN);
    refused(key, &advice);
    // It is not looked up: a wrong one is refused for the same reason.
    let wrong = server.request(Method::GET, "/api/v1/links").bearer_auth("no-token");
    refused(wrong, &advice);
    let forged = list(&server).header("slugline-operator-key", "no-key");
    refused(forged, &advice);
    // All else is answered as ever.
    server.get("/api/v1/links").problem(401, "UNAUTHORIZED");
    server.get("/readyz").expect(200);
    server.get("/nothing-here").expect(404);
    // An http service has nothing to protect.
    let plain = Options::links_only().public_url("http://sho.rt").start();
    Answer::to(list(&plain)).expect(200);
}

#[test]
fn a_trusted_proxy_is_believed_that_a_token_came_over_https() {
    let server = Options::links_only().public_url("https://sho.rt").behind_proxy().start();
    let ask = |headers: &[(&str, &str)]| {
        headers.iter().fold(list(&server), |request, (name, value)| request.header(*name, *value))
    };
    let (forwarded, proto) = ("forwarded", "x-forwarded-proto");
    for headers in [
        &[(proto, "https")][..],
        &[(proto, "HTTPS"), ("x-forwarded-for", "192.0.2.1")],
        &[(proto, "http, https")],
        &[(forwarded, "for=192.0.2.1;proto=https")],
        &[(forwarded, "for=192.0.2.1;Proto=\"https\"")],
        &[(forwarded, "proto=http, for=10.0.0.1;proto=https")],
        &[(forwarded, "for=192.0.2.1"), (proto, "https")],
    ] {
        Answer::to(ask(headers)).expect(200);
    }
    for headers in [
        &[][..],
        &[(proto, "http")],
        &[(proto, "https, http")],
        &[(proto, "httpss")],
        &[("x-forwarded-for", "192.0.2.1")],
        &[(forwarded, "for=192.0.2.1;proto=http"), (proto, "https")],
        &[(forwarded, "for=192.0.2.1;proto=https;proto=http")],
    ] {
        refused(
            ask(headers),
            &["https://sho.rt", "have the proxy send `X-Forwarded-Proto: https`"],
        );
    }
}

fn run(server: &Server, arguments: &[&str]) -> Output {
    let mut command = slugline();
    command.args(arguments).args(["--url", &server.base]).env("SLUGLINE_TOKEN", TOKEN);
    command.output().unwrap()
}

/// They prove by the data folder that they are on the same machine.
#[test]
fn the_slugline_command_works_beside_a_service_whose_public_url_is_https() {
    let server = Options::links_only().public_url("https://sho.rt").start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("links.csv");
    std::fs::write(&file, "slug,destination\nmoved,https://example.com/moved\n").unwrap();
    let (file, data) = (file.to_str().unwrap().to_owned(), server.data.path());
    let data = data.to_str().unwrap();
    let imported = run(&server, &["import", &file, "--data-dir", data]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let exported = run(&server, &["export", "--data-dir", data]);
    assert!(String::from_utf8_lossy(&exported.stdout).contains("moved"), "{exported:?}");
    let elsewhere = folder.path().to_str().unwrap();
    let refused = run(&server, &["export", "--data-dir", elsewhere]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("use https://sho.rt"), "{said}");
    let rebuilt = slugline().args(["rebuild", "index", "--data-dir", data]).output().unwrap();
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
}

/// Pages of any site use the API with a token, but not with this site's cookies.
#[test]
fn pages_elsewhere_use_the_api_with_a_token() {
    let server = Options::links_only().start();
    let ask = |method: Method, path: &str| {
        let request = server.request(method, path).header("Origin", "https://app.example");
        Answer::to(request)
    };
    let preflight = ask(Method::OPTIONS, "/api/v1/links/spring").expect(204);
    assert_eq!(preflight.header("access-control-allow-origin"), "*");
    assert!(preflight.header("access-control-allow-headers").contains("Authorization"));
    assert!(preflight.header("access-control-allow-methods").contains("PATCH"));
    assert!(!preflight.header("access-control-allow-headers").contains("CSRF"));
    assert!(!preflight.headers.contains_key("access-control-allow-credentials"));
    let refused = ask(Method::GET, "/api/v1/links").expect(401);
    assert_eq!(refused.header("access-control-allow-origin"), "*");
    assert!(refused.header("access-control-expose-headers").contains("X-Request-Id"));
    let page = ask(Method::GET, "/docs/guides").expect(200);
    assert!(!page.headers.contains_key("access-control-allow-origin"));
}

#[test]
fn json_ends_with_a_newline() {
    let server = Options::links_only().start();
    let token = format!("Bearer {TOKEN}");
    for (path, status) in [("/api/v1/links", 200), ("/api/v1/nothing", 404), ("/readyz", 200)] {
        let request = server.request(Method::GET, path).header("Authorization", &token);
        let answer = Answer::to(request).expect(status);
        let text = &answer.text;
        assert!(text.ends_with("}\n") && !text.ends_with("\n\n"), "{path}: {text}");
    }
}
