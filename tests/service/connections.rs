//! Connection handling: keep-alive, pipelined, split and incomplete requests, and handovers between
//! the redirect threads and the rest of the service.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Link, Options, PATIENCE, Server, TOKEN, eventually, shared};

/// A connection, spoken to in bytes.
struct Wire {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

/// An answer as it came.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    #[track_caller]
    fn leads_to(&self, location: &str) {
        assert_eq!((self.status, self.header("location")), (302, Some(location)), "{self:?}");
        assert_eq!((self.header("content-length"), self.body.as_str()), (Some("0"), ""));
    }
}

impl Wire {
    fn to(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address()).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, reader }
    }

    #[track_caller]
    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next answer; `has_body` is false after a HEAD.
    #[track_caller]
    fn take(&mut self, has_body: bool) -> Reply {
        let first = self.line();
        let status = first.split(' ').nth(1).unwrap_or_else(|| panic!("{first:?}"));
        let mut reply =
            Reply { status: status.parse().unwrap(), head: first.clone(), body: String::new() };
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            reply.head = format!("{}\n{line}", reply.head);
        }
        let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; if has_body { length } else { 0 }];
        self.reader.read_exact(&mut body).unwrap();
        reply.body = String::from_utf8(body).unwrap();
        reply
    }

    #[track_caller]
    fn reply(&mut self) -> Reply {
        self.take(true)
    }

    /// Whether the service closes the connection without sending anything else.
    fn is_closed(&mut self) -> bool {
        match self.reader.read(&mut [0; 16]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

const LANDING: &str = "https://example.com/landing";

fn get(link: &Link) -> String {
    format!("GET /{} HTTP/1.1\r\nHost: x\r\nUser-Agent: wire\r\n\r\n", link.slug)
}

fn create(destination: &str) -> String {
    let body = json!({ "destination": destination }).to_string();
    format!(
        "POST /api/v1/links HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn a_connection_is_kept_for_many_redirects() {
    let server = shared();
    let link = server.link();
    let mut wire = Wire::to(&server);
    for _ in 0..50 {
        wire.send(get(&link));
        let reply = wire.reply();
        reply.leads_to(LANDING);
        assert_eq!(reply.header("cache-control"), Some("private, no-store"));
        assert_eq!(reply.header("referrer-policy"), Some("strict-origin-when-cross-origin"));
        assert!(reply.header("date").is_some_and(|date| date.ends_with(" GMT")), "{reply:?}");
        assert_eq!(reply.header("connection"), None);
    }
    server.await_clicks(&link, 50);
}

/// Visits, unknown slugs and calls of the API in one packet: each is answered, in order.
#[test]
fn requests_of_one_packet_are_answered_in_order() {
    let server = shared();
    let links: Vec<_> =
        (0..20).map(|number| server.link_to(&format!("https://example.com/{number}"))).collect();
    let mut wire = Wire::to(&server);
    wire.send(links.iter().map(get).collect::<String>());
    for number in 0..links.len() {
        wire.reply().leads_to(&format!("https://example.com/{number}"));
    }
    let mut packet = String::new();
    for link in &links[..3] {
        packet += &get(link);
        packet += "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
        packet += &get(link);
        packet += "GET /no-such-slug HTTP/1.1\r\nHost: x\r\n\r\n";
        packet += &create("https://example.com/made");
    }
    wire.send(packet);
    for number in 0..3 {
        let destination = format!("https://example.com/{number}");
        wire.reply().leads_to(&destination);
        assert_eq!(wire.reply().status, 200);
        wire.reply().leads_to(&destination);
        assert_eq!(wire.reply().status, 404);
        let made = wire.reply();
        assert_eq!(made.status, 201, "{made:?}");
    }
    // Connections that have been handed over continue to be served.
    wire.send(get(&links[7]));
    wire.reply().leads_to("https://example.com/7");
    server.await_clicks(&links[0], 3);
    server.await_clicks(&links[7], 2);
}

/// More requests than are answered at once, from a client that reads late: all are answered, and
/// no click is lost or counted twice.
#[test]
fn thousands_of_requests_of_a_slow_reader_are_answered() {
    const REQUESTS: usize = 20_000;
    let server = shared();
    let link = server.link();
    let mut wire = Wire::to(&server);
    let mut sender = wire.stream.try_clone().unwrap();
    let packet = get(&link).repeat(100);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..REQUESTS / 100 {
                sender.write_all(packet.as_bytes()).unwrap();
            }
        });
        // Until the sender waits, the answers having nowhere to go.
        std::thread::sleep(Duration::from_millis(300));
        for _ in 0..REQUESTS {
            wire.reply().leads_to(LANDING);
        }
    });
    server.await_clicks(&link, REQUESTS as u64);
}

#[test]
fn a_head_may_come_in_many_packets() {
    let server = shared();
    let link = server.link();
    for whole in [get(&link), create("https://example.com/split") + &get(&link)] {
        let mut wire = Wire::to(&server);
        for byte in whole.as_bytes().chunks(7) {
            wire.send(byte);
            std::thread::yield_now();
        }
        if whole.starts_with("POST") {
            assert_eq!(wire.reply().status, 201);
        }
        wire.reply().leads_to(LANDING);
    }
    // A head larger than what waits here for its end.
    let mut wire = Wire::to(&server);
    let cookie = format!("Cookie: a={}\r\n", "0".repeat(2_000));
    let start = format!("GET /{} HTTP/1.1\r\nHost: x\r\n", link.slug);
    for part in [start.as_str(), &cookie, &cookie, &cookie, &cookie, &cookie, "\r\n"] {
        wire.send(part);
        std::thread::sleep(Duration::from_millis(2));
    }
    wire.reply().leads_to(LANDING);
}

#[test]
fn a_head_has_the_headers_of_a_get_and_no_body() {
    let server = shared();
    let link = server.link();
    let mut wire = Wire::to(&server);
    let head = get(&link).replacen("GET", "HEAD", 1);
    wire.send(format!("{head}{}{head}", get(&link)));
    for _ in 0..3 {
        wire.reply().leads_to(LANDING);
    }
    wire.send("HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n".to_owned() + &head);
    assert_eq!(wire.take(false).status, 200);
    let head = wire.take(false);
    assert_eq!((head.status, head.header("location")), (302, Some(LANDING)));
    server.await_clicks(&link, 4);
}

#[test]
fn a_connection_is_closed_when_its_client_says_so() {
    let server = shared();
    let link = server.link();
    let closing = get(&link).replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
    let mut wire = Wire::to(&server);
    wire.send(get(&link) + &closing + &get(&link));
    wire.reply().leads_to(LANDING);
    let last = wire.reply();
    last.leads_to(LANDING);
    assert_eq!(last.header("connection"), Some("close"));
    assert!(wire.is_closed());
    // Who has said all reads his answer still.
    let mut wire = Wire::to(&server);
    wire.send(get(&link));
    wire.stream.shutdown(std::net::Shutdown::Write).unwrap();
    wire.reply().leads_to(LANDING);
    assert!(wire.is_closed());
    server.await_clicks(&link, 3);
}

/// The older protocol, and a target as proxies get it.
#[test]
fn older_and_absolute_forms_are_answered() {
    let server = shared();
    let link = server.link();
    let mut wire = Wire::to(&server);
    wire.send(format!("GET /{} HTTP/1.0\r\n\r\n", link.slug));
    wire.reply().leads_to(LANDING);
    assert!(wire.is_closed());
    let mut wire = Wire::to(&server);
    wire.send(format!("GET http://sho.rt/{} HTTP/1.1\r\nHost: sho.rt\r\n\r\n", link.slug));
    wire.reply().leads_to(LANDING);
    wire.send(format!("GET /{}#top HTTP/1.1\r\nHost: x\r\n\r\n", link.slug));
    wire.reply().leads_to(LANDING);
    let mut wire = Wire::to(&server);
    wire.send(format!(
        "GET /{} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody{}",
        link.slug,
        get(&link)
    ));
    wire.reply().leads_to(LANDING);
    wire.reply().leads_to(LANDING);
    server.await_clicks(&link, 5);
}

/// An invalid request after a redirect gets an error as on any connection.
#[test]
fn nonsense_behind_a_redirect_is_refused() {
    let server = shared();
    let link = server.link();
    for nonsense in
        ["hello\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /a HTTP/1.1\r\nBad Name: x\r\n\r\n"]
    {
        let mut wire = Wire::to(&server);
        wire.send(get(&link) + nonsense);
        wire.reply().leads_to(LANDING);
        assert_eq!(wire.reply().status, 400, "{nonsense}");
        assert!(wire.is_closed());
    }
    let mut wire = Wire::to(&server);
    let endless = "X-Flood: 0123456789012345678901234567890123456789\r\n".repeat(2_000);
    wire.send(get(&link));
    wire.reply().leads_to(LANDING);
    let head = format!("GET /{} HTTP/1.1\r\nHost: x\r\n{endless}", link.slug);
    // A request that is rejected early is not read to its end.
    let _cut_off = wire.stream.write_all(head.as_bytes());
    assert_eq!(wire.reply().status, 431);
}

/// Hundreds of connections that say nothing are in nobody's way, and are ended in time; so is one
/// whose head never ends.
#[test]
fn idle_connections_are_ended_and_in_nobodys_way() {
    let server = Options::links_only().start();
    let link = server.link();
    let mut idle: Vec<_> = (0..500).map(|_| Wire::to(&server)).collect();
    for wire in idle.iter_mut().step_by(2) {
        wire.send(get(&link));
    }
    for wire in idle.iter_mut().step_by(2) {
        wire.reply().leads_to(LANDING);
    }
    let started = Instant::now();
    for _ in 0..20 {
        server.visit(&link).send().expect(302);
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let mut drop_by_drop = Wire::to(&server);
    drop_by_drop.send("GET /x HTTP/1.1\r\n");
    idle.push(drop_by_drop);
    for wire in &mut idle {
        assert!(wire.is_closed());
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

/// Told to stop, the service answers what it has and closes the connections it keeps.
#[test]
fn kept_connections_do_not_delay_the_end() {
    let server = Options::links_only().start();
    let link = server.link();
    let mut wires: Vec<_> = (0..10).map(|_| Wire::to(&server)).collect();
    for wire in &mut wires {
        wire.send(get(&link));
        wire.reply().leads_to(LANDING);
    }
    let started = Instant::now();
    assert!(server.stop().success());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    for wire in &mut wires {
        assert!(wire.is_closed());
    }
}

/// So many links that no buffer between the service and a client holds the file of all.
pub fn many_links(server: &Server) {
    let destination = format!("https://example.com/?{}", "x".repeat(8_000));
    let links = vec![json!({ "destination": destination }); 400];
    for _ in 0..8 {
        server.api().post("/links/bulk", &json!({ "links": links })).expect(200);
    }
}

/// Asks for the file of all links and reads no more of it than its first word.
pub fn ask_for_links(stream: &mut (impl Read + Write)) {
    write!(
        stream,
        "GET /api/v1/links/export?format=ndjson HTTP/1.1\r\nHost: x\r\n\
         Authorization: Bearer {TOKEN}\r\n\r\n"
    )
    .unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
}

/// A client that doesn't read its response is disconnected when the service stops.
#[test]
fn a_stalled_reader_does_not_prevent_the_end() {
    let server = Options::links_only().start();
    many_links(&server);
    let mut stalled = TcpStream::connect(server.address()).unwrap();
    ask_for_links(&mut stalled);
    let started = Instant::now();
    let log = server.stop_for_log().concat();
    assert!(log.contains("did not finish in time and were aborted"), "{log}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

/// Pipelined visits under SIGKILL: what was answered is in the log.
#[test]
fn a_kill_loses_no_click_of_a_group() {
    let server = Options::links_only().start();
    let (data, link) = (server.data.clone(), server.link());
    let packet = get(&link).repeat(40);
    let mut wires: Vec<_> = (0..8).map(|_| Wire::to(&server)).collect();
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for wire in &mut wires {
            let mut outgoing = wire.stream.try_clone().unwrap();
            let (packet, answered) = (&packet, &answered);
            scope.spawn(move || while outgoing.write_all(packet.as_bytes()).is_ok() {});
            scope.spawn(move || {
                let mut read = Vec::new();
                while matches!(wire.reader.read_until(b'\n', &mut read), Ok(bytes) if bytes > 0) {
                    let is_answer = read.starts_with(b"HTTP/1.1 302 ") && read.ends_with(b"\n");
                    answered.fetch_add(usize::from(is_answer), Ordering::Relaxed);
                    read.clear();
                }
            });
        }
        eventually("thousands of answers", || {
            (answered.load(Ordering::Relaxed) > 5_000).then_some(())
        });
        server.signal(Signal::KILL);
    });
    drop(server);
    let answered = answered.into_inner();
    let logged = data.logged_clicks_of(&link).len();
    assert!(answered <= logged, "{answered} answered, {logged} logged");
}
