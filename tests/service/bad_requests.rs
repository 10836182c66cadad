//! Requests that are invalid regardless of their content: type, size, path, method, head, pace.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::harness::{Answer, Options, Server, TOKEN, shared};

/// Sends bytes as they are and reads all that comes back until the service closes the
/// connection, for at most this time.
pub fn raw(server: &Server, request: &[u8], limit: Duration) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(limit)).unwrap();
    // A request that is rejected early is not read to its end.
    let _cut_off = stream.write_all(request);
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => answer.extend(&chunk[..read]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("not closed within {limit:?}: {error}"),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

pub const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_body_of_another_type_is_refused() {
    let server = shared();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""] {
        let request = server.api().request(Method::POST, "/links");
        let request = request.header("Content-Type", content_type).body("{}");
        let refused = Answer::to(request);
        refused.refuses(415, "UNSUPPORTED_MEDIA_TYPE", &["Content-Type"]);
    }
    let untyped = server.api().request(Method::POST, "/links").body("{}");
    Answer::to(untyped).refuses(415, "UNSUPPORTED_MEDIA_TYPE", &["Content-Type"]);
    let request = server.api().request(Method::POST, "/links");
    let request = request.header("Content-Type", "Application/JSON; charset=utf-8");
    Answer::to(request.body(r#"{"destination": "https://example.com"}"#)).expect(201);
}

/// A request without a body gets an error that says so.
#[test]
fn no_body_is_refused() {
    let server = shared();
    let nothing = Answer::to(server.api().request(Method::POST, "/links"));
    assert!([400, 415].contains(&nothing.status), "{nothing:?}");
    let request = server.api().request(Method::POST, "/links");
    let typed = Answer::to(request.header("Content-Type", "application/json"));
    typed.refuses(400, "VALIDATION_ERROR", &["body"]);
}

/// The limit is 1 MiB, however the body is sent.
#[test]
fn a_body_over_a_mebibyte_is_refused() {
    let server = shared();
    let body = |bytes: usize| format!("{{\"title\": \"{}\"}}", "x".repeat(bytes - 13));
    let send = |body: reqwest::blocking::Body| {
        let request = server.api().request(Method::POST, "/links");
        Answer::to(request.header("Content-Type", "application/json").body(body))
    };
    send(body(1 << 20).into()).problem(400, "VALIDATION_ERROR");
    for bytes in [(1 << 20) + 1, 8 << 20] {
        send(body(bytes).into()).refuses(413, "PAYLOAD_TOO_LARGE", &["body"]);
        let chunked = reqwest::blocking::Body::new(std::io::Cursor::new(body(bytes)));
        send(chunked).refuses(413, "PAYLOAD_TOO_LARGE", &["body"]);
    }
}

#[test]
fn paths_that_the_api_does_not_have_are_not_found() {
    let server = shared();
    for path in [
        "/nothing",
        "/links/a/b/c",
        "/links/a/clicks/",
        "/links/%00",
        "/links/%0d%0aSet-Cookie:%20a=b",
        "/links/a%20b",
        "/links/link_tooshort",
        "/links/ü",
        "/tokens/a/b",
    ] {
        server.api().get(path).problem(404, "NOT_FOUND");
    }
    server.api().get(&format!("/links/{}", "x".repeat(5_000))).problem(404, "NOT_FOUND");
}

/// Unknown paths get a JSON error, at the root of the API, too.
#[test]
fn the_root_of_the_api_is_not_found() {
    let server = shared();
    for path in ["", "/"] {
        server.api().get(path).problem(404, "NOT_FOUND");
    }
}

/// A name that is no text is refused as each other wrong name is.
#[test]
fn paths_that_are_no_text_are_refused() {
    let server = shared();
    for (method, path) in [
        (Method::GET, "/links/%ff"),
        (Method::DELETE, "/links/a%80b"),
        (Method::GET, "/links/%ff/countries"),
        (Method::DELETE, "/tokens/%ff"),
    ] {
        let answer = Answer::to(server.api().request(method, path));
        assert!([400, 404].contains(&answer.status), "{answer:?}");
        let code = if answer.status == 400 { "VALIDATION_ERROR" } else { "NOT_FOUND" };
        answer.problem(answer.status, code);
    }
}

#[test]
fn methods_that_a_path_does_not_take_are_refused() {
    let server = shared();
    for (method, path, allowed) in [
        ("DELETE", "/links", "GET"),
        ("PUT", "/links", "POST"),
        ("POST", "/links/x", "PATCH"),
        ("POST", "/analytics", "GET"),
        ("PATCH", "/links/x/clicks", "GET"),
        ("BREW", "/links", "GET"),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = Answer::to(server.api().request(method, path));
        answer.problem(405, "METHOD_NOT_ALLOWED");
        assert!(answer.header("allow").contains(allowed), "{answer:?}");
    }
}

/// Too many headers, one that is too long, a path without end: refused before more is read.
#[test]
fn a_head_without_end_is_refused() {
    let server = shared();
    let many = "X-Flood: x\r\n".repeat(5_000);
    let long = format!("X-Flood: {}\r\n", "x".repeat(200_000));
    let cookie = format!("Cookie: {}\r\n", "a=b; ".repeat(20_000));
    for headers in [many, long, cookie] {
        let request = format!("GET /livez HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let answer = raw(&server, request.as_bytes(), SOON);
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer:?}");
    }
    let request = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(200_000));
    let answer = raw(&server, request.as_bytes(), SOON);
    let refused = ["HTTP/1.1 431 ", "HTTP/1.1 414 "].iter().any(|line| answer.starts_with(line));
    assert!(refused, "{answer:?}");
    server.get("/livez").expect(200);
}

#[test]
fn what_is_no_http_is_refused() {
    let server = shared();
    for request in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nBad Header: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
        b"POST /api/v1/links HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"POST /api/v1/links HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ] {
        let answer = raw(&server, request, Duration::from_secs(20));
        let shown = String::from_utf8_lossy(request);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{shown}: {answer}");
    }
    server.get("/livez").expect(200);
}

/// A client that sends its head or its body drop by drop is cut off, while others are served.
#[test]
fn slow_clients_are_cut_off() {
    let server = Options::links_only().start();
    let link = server.link();
    let head = format!(
        "POST /api/v1/links HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
    );
    let started = Instant::now();
    let (in_head, in_body) = std::thread::scope(|scope| {
        let slow = |start: &str, drop: &'static [u8]| {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream.write_all(start.as_bytes()).unwrap();
            scope.spawn(move || trickle(stream, drop))
        };
        let in_head = slow("GET /livez HTTP/1.1\r\nHost: x\r\n", b"X-Drop: x\r\n");
        let in_body = slow(&head, b" ");
        for _ in 0..20 {
            server.visit(&link).send().expect(302);
        }
        assert!(started.elapsed() < Duration::from_secs(5), "others wait: {:?}", started.elapsed());
        (in_head.join().unwrap(), in_body.join().unwrap())
    });
    assert!(in_head < Duration::from_secs(20), "{in_head:?}");
    assert!(in_body < Duration::from_secs(40), "{in_body:?}");
    server.api().post("/links", &json!({ "destination": "https://example.com" })).expect(201);
}

/// Sends a little at a time until the service has had enough, and says how long that took.
fn trickle(mut stream: TcpStream, drop: &[u8]) -> Duration {
    let started = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut chunk = [0; 4096];
    let mut answered = false;
    while started.elapsed() < Duration::from_secs(60) {
        match stream.read(&mut chunk) {
            Ok(0) => return started.elapsed(),
            Ok(_) => answered = true,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return started.elapsed(),
            // Nothing was said within the timeout: the next drop.
            Err(_) if answered => {}
            Err(_) => {
                if stream.write_all(drop).is_err() {
                    return started.elapsed();
                }
            }
        }
    }
    panic!("the service has endless patience")
}
