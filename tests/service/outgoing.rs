//! Requests to URLs that users choose.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use slugline::effects::{Guard, Limits, Names, Outgoing, OutgoingError};
use tokio::runtime::Runtime;
use url::Url;

use crate::harness::{FileServer, NameServer, PATIENCE};

const LIMITS: Limits = Limits { time: PATIENCE, body_bytes: 100 };

fn outgoing(names: &NameServer, allowed: &str) -> Outgoing {
    Outgoing::new(Names::new(Some(names.address)), Guard::new(allowed.parse().unwrap()))
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Reads a request up to the end of its body.
fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let length = length.map_or(0, |length| length.parse().unwrap());
        if text.find("\r\n\r\n").is_some_and(|head| request.len() >= head + 4 + length) {
            return String::from_utf8(request).unwrap();
        }
        let mut piece = [0; 1_000];
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "{text}");
        request.extend_from_slice(&piece[..read]);
    }
}

/// Answers requests on one connection; returns them.
fn answer_on_one_connection(
    listener: TcpListener,
    answers: &'static [&'static str],
) -> JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let answer = |answer: &&str| {
            let request = read_request(&mut stream);
            stream.write_all(answer.as_bytes()).unwrap();
            request
        };
        answers.iter().map(answer).collect()
    })
}

#[test]
fn refused_addresses_are_never_connected_to() {
    let (runtime, names, files) = (runtime(), NameServer::start(), FileServer::start());
    let port = files.address.port();
    files.file("/", "secret");
    let get = |outgoing: &Outgoing, host: &str| {
        runtime.block_on(outgoing.get(&url(&format!("http://{host}/")), LIMITS))
    };
    let public_only = outgoing(&names, "");
    names.host("private.test", "127.0.0.1");
    for host in [
        "private.test",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "127.0.0.1.",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
    ] {
        for host in [host.to_owned(), format!("{host}:{port}")] {
            let refused = get(&public_only, &host).unwrap_err();
            assert!(matches!(refused, OutgoingError::Refused(_)), "{host}: {refused}");
        }
        let posted = url(&format!("http://{host}:{port}/"));
        let posted = public_only.post(&posted, HeaderMap::new(), "x", LIMITS);
        let refused = runtime.block_on(posted).unwrap_err();
        assert!(matches!(refused, OutgoingError::Refused(_)), "{host}: {refused}");
    }
    // Nobody listens at the permitted address: the other one is no fallback.
    names.host("both.test", "127.0.0.1");
    names.host("both.test", "127.0.0.2");
    let both = format!("both.test:{port}");
    let failed = get(&outgoing(&names, "127.0.0.2"), &both).unwrap_err();
    assert!(matches!(failed, OutgoingError::Unreachable(_)), "{failed}");
    assert_eq!(files.requests(), Vec::<String>::new());
    assert_eq!(get(&outgoing(&names, "127.0.0.1"), &both).unwrap(), "secret");
}

#[test]
fn an_address_is_checked_for_each_connection() {
    let (runtime, names, files) = (runtime(), NameServer::start(), FileServer::start());
    let target = url(&format!("http://moves.test:{}/", files.address.port()));
    files.file("/", "here");
    let outgoing = outgoing(&names, "127.0.0.1");
    names.host("moves.test", "127.0.0.1");
    assert_eq!(runtime.block_on(outgoing.get(&target, LIMITS)).unwrap(), "here");
    names.remove("moves.test");
    names.host("moves.test", "127.0.0.2");
    let refused = runtime.block_on(outgoing.get(&target, LIMITS)).unwrap_err();
    assert_eq!(refused, OutgoingError::Refused("moves.test".to_owned()));
    assert_eq!(files.requests().len(), 1);
}

#[test]
fn redirects_are_not_followed() {
    let (runtime, names, files) = (runtime(), NameServer::start(), FileServer::start());
    let outgoing = outgoing(&names, "127.0.0.1");
    let target = url(&format!("http://{}/moved", files.address));
    files.answer("/moved", "HTTP/1.1 307 X\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n");
    files.file("/there", "there");
    let got = runtime.block_on(outgoing.get(&target, LIMITS));
    assert_eq!(got.unwrap_err(), OutgoingError::Status(StatusCode::TEMPORARY_REDIRECT));
    let posted = outgoing.post(&target, HeaderMap::new(), "", LIMITS);
    let posted = runtime.block_on(posted).unwrap();
    assert_eq!(posted.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(posted.headers()["location"], "/there");
    assert!(files.requests().iter().all(|line| line.contains("/moved")), "{:?}", files.requests());
}

#[test]
fn bodies_are_read_up_to_a_size() {
    let (runtime, names, files) = (runtime(), NameServer::start(), FileServer::start());
    let outgoing = outgoing(&names, "127.0.0.1");
    let long = "x".repeat(LIMITS.body_bytes + 1);
    files.file("/fits", &long[1..]);
    files.file("/sized", &long);
    // Its end is the connection's.
    files.answer("/unsized", &format!("HTTP/1.1 200 OK\r\n\r\n{}", long.repeat(10_000)));
    files.answer("/broken", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx");
    let at = |path: &str| url(&format!("http://{}{path}", files.address));
    let get = |path: &str| runtime.block_on(outgoing.get(&at(path), LIMITS));
    assert_eq!(get("/fits").unwrap(), long[1..]);
    for path in ["/sized", "/unsized", "/broken"] {
        assert_eq!(get(path).unwrap_err(), OutgoingError::BadBody, "{path}");
    }
    for path in ["/sized", "/unsized"] {
        let target = at(path);
        let posted = outgoing.post(&target, HeaderMap::new(), "", LIMITS);
        assert_eq!(*runtime.block_on(posted).unwrap().body(), long[1..], "{path}");
    }
}

#[test]
fn a_request_ends_in_time() {
    let (runtime, names) = (runtime(), NameServer::start());
    let outgoing = outgoing(&names, "127.0.0.1");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = url(&format!("http://{}/", listener.local_addr().unwrap()));
    let limits = Limits { time: Duration::from_millis(200), ..LIMITS };
    // It accepts connections and says nothing.
    let silent = runtime.block_on(outgoing.get(&target, limits));
    assert_eq!(silent.unwrap_err(), OutgoingError::TimedOut);
    let _silent = listener.accept().unwrap();
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx";
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_request(&mut stream);
        stream.write_all(begun.as_bytes()).unwrap();
        stream
    });
    let stalled = runtime.block_on(outgoing.get(&target, limits));
    assert_eq!(stalled.unwrap_err(), OutgoingError::TimedOut);
    drop(server.join().unwrap());
}

#[test]
fn a_post_has_headers_and_a_body_and_keeps_its_connection() {
    let (runtime, names) = (runtime(), NameServer::start());
    let outgoing = outgoing(&names, "127.0.0.1");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("hooks.test:{}", listener.local_addr().unwrap().port());
    names.host("hooks.test", "127.0.0.1");
    let server = answer_on_one_connection(
        listener,
        &[
            "HTTP/1.1 503 X\r\nRetry-After: 9\r\nContent-Length: 4\r\n\r\nbusy",
            "HTTP/1.1 204 No Content\r\n\r\n",
        ],
    );
    let target = url(&format!("http://{host}/in?a=b#c"));
    let json = HeaderValue::from_static("application/json");
    let headers: HeaderMap = [(CONTENT_TYPE, json)].into_iter().collect();
    let post = |body: &'static str| {
        runtime.block_on(outgoing.post(&target, headers.clone(), body, LIMITS)).unwrap()
    };
    let busy = post("{}");
    assert_eq!((busy.status().as_u16(), &busy.body()[..]), (503, &b"busy"[..]));
    assert_eq!(busy.headers()["retry-after"], "9");
    assert_eq!(post("[1]").status(), StatusCode::NO_CONTENT);
    let requests = server.join().unwrap();
    let first = requests[0].to_lowercase();
    assert!(first.starts_with("post /in?a=b http/1.1\r\n"), "{first}");
    for part in [
        &format!("host: {host}\r\n"),
        "content-type: application/json\r\n",
        concat!("user-agent: slugline/", env!("CARGO_PKG_VERSION"), "\r\n"),
    ] {
        assert!(first.contains(part), "{part}: {first}");
    }
    assert!(requests[0].ends_with("\r\n\r\n{}") && requests[1].ends_with("\r\n\r\n[1]"));
}

#[test]
fn only_http_is_sent() {
    let (runtime, names) = (runtime(), NameServer::start());
    for bad in ["ftp://go.test/", "file:///etc/passwd", "data:,x"] {
        let refused = runtime.block_on(outgoing(&names, "").get(&url(bad), LIMITS));
        assert_eq!(refused.unwrap_err(), OutgoingError::BadUrl, "{bad}");
    }
    let unknown = runtime.block_on(outgoing(&names, "").get(&url("https://nowhere.test/"), LIMITS));
    assert!(matches!(unknown, Err(OutgoingError::Name(_))), "{unknown:?}");
}
