//! Many connections: broken ones leave nothing behind, no address can use all of them, and file
//! descriptors remain available.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::harness::{Options, PATIENCE, Server, eventually, within};

/// A connection from this loopback address.
fn connect_from(source: [u8; 4], server: &Server) -> rustix::io::Result<TcpStream> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::from(source), 0))?;
    connect(&socket, &server.address())?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Ok(stream)
}

/// Whether the service closes the connection without a response.
fn is_refused(stream: &mut TcpStream) -> bool {
    let sent = stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut answer = [0; 1_024];
    match sent.and_then(|()| stream.read(&mut answer)) {
        Ok(0) => true,
        Ok(read) => {
            assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
            false
        }
        Err(error) => {
            assert!(
                matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
                "{error}"
            );
            true
        }
    }
}

fn descriptors(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count()
}

/// How long a new visitor waits for the response of `/livez`.
fn livez(address: SocketAddr) -> Duration {
    let started = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    started.elapsed()
}

/// Two threads open connections, send a byte and reset them at once, 20,000 times.
#[test]
fn connections_reset_with_their_first_byte_leave_nothing_behind() {
    const EACH: usize = 10_000;
    let server = Options::links_only().start();
    let before = descriptors(&server);
    let done = AtomicBool::new(false);
    let (mut waits, mut most) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        let flood = || {
            for _ in 0..EACH {
                let mut stream = TcpStream::connect(server.address()).unwrap();
                let _already_refused = stream.write(b"x");
                sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
            }
        };
        let floods = [scope.spawn(flood), scope.spawn(flood)];
        scope.spawn(|| {
            for flood in floods {
                flood.join().unwrap();
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            waits.push(livez(server.address()));
            most = most.max(descriptors(&server));
        }
    });
    let ended = Instant::now();
    // They would be ended as idle ones after 8 s at the earliest.
    within(Duration::from_secs(1), "their descriptors are closed", || {
        (descriptors(&server) <= before + 10).then_some(())
    });
    let closed_after = ended.elapsed();
    waits.sort_unstable();
    let slow = waits.iter().filter(|wait| **wait > Duration::from_millis(100)).count();
    eprintln!(
        "closed after {closed_after:?}; at most {most} descriptors, {before} before; /livez {} \
         times, {slow} slow, median {:?}, at most {:?}",
        waits.len(),
        waits[waits.len() / 2],
        waits[waits.len() - 1],
    );
    assert!(waits.len() >= 10, "{waits:?}");
    assert!(slow <= waits.len() / 10, "{waits:?}");
    assert!(waits[waits.len() - 1] < Duration::from_secs(4), "{waits:?}");
}

/// Connections count for their address wherever they are served, until they end.
#[test]
fn an_address_has_so_many_connections_and_no_more() {
    const LIMIT: usize = 20;
    let server = Options::links_only().flag("--connections-per-address", LIMIT.to_string()).start();
    let greedy = [127, 0, 0, 2];
    // Half of them send nothing; the others are answered and kept open.
    let silent: Vec<_> = (0..LIMIT / 2).map(|_| connect_from(greedy, &server).unwrap()).collect();
    let answered: Vec<_> = (0..LIMIT / 2)
        .map(|_| {
            let mut stream = connect_from(greedy, &server).unwrap();
            assert!(!is_refused(&mut stream));
            stream
        })
        .collect();
    for _ in 0..5 {
        assert!(is_refused(&mut connect_from(greedy, &server).unwrap()));
    }
    assert!(!is_refused(&mut connect_from([127, 0, 0, 3], &server).unwrap()));
    let metrics = server.get("/metrics").expect(200).text;
    assert!(metrics.contains("slugline_connections_refused_total 5"), "{metrics}");
    for ended in [silent, answered] {
        drop(ended);
        let mut held = Vec::new();
        eventually("there is room for as many again", || {
            let mut stream = connect_from(greedy, &server).unwrap();
            if !is_refused(&mut stream) {
                held.push(stream);
            }
            (held.len() == LIMIT / 2).then_some(())
        });
        drop(held);
    }
    let log = server.stop_for_log().concat();
    let warnings = log.matches("an address has reached its connection limit").count();
    assert_eq!(warnings, 1, "{log}");
    assert!(!log.contains("127.0.0.2"), "{log}");
}

#[test]
fn a_trusted_proxy_has_as_many_connections_as_it_needs() {
    let server = Options::links_only()
        .flag("--connections-per-address", "5")
        .flag("--trusted-proxies", "127.0.0.2")
        .start();
    let mut of_proxy: Vec<_> =
        (0..50).map(|_| connect_from([127, 0, 0, 2], &server).unwrap()).collect();
    assert!(!of_proxy.iter_mut().any(is_refused));
}

/// With all connections in use there are descriptors left: a log goes on to its next file.
#[test]
fn files_can_be_opened_when_all_connections_are_in_use() {
    const OPEN_FILES: usize = 1_024;
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let server = Options::links_only().open_files(OPEN_FILES).start();
    let first = server.data.last_segment("mutations");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| flood_until(&done, &server));
        let _stopped = StopOnDrop(&done);
        eventually("most connections are in use", || {
            (descriptors(&server) > OPEN_FILES * 7 / 10).then_some(())
        });
        let destination = format!("https://example.com/?{}", "x".repeat(8_000));
        let links = json!({ "links": vec![json!({ "destination": destination }); 400] });
        while server.data.last_segment("mutations") == first {
            server.api().post("/links/bulk", &links).expect(200);
            let open = descriptors(&server);
            assert!(open < OPEN_FILES - 100, "{open}");
        }
        server.visit(&server.link()).send().expect(302);
    });
    let log = server.stop_for_log().concat();
    assert!(log.contains("all connections are in use"), "{log}");
    assert!(!log.contains("cannot accept connections"), "{log}");
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Holds as many connections as the service lets, from several addresses.
fn flood_until(done: &AtomicBool, server: &Server) {
    let sources = (0..1_000_u32).map(|number| [127, 0, 1, (number % 5) as u8 + 1]);
    let mut held: Vec<_> = sources.map(|source| (source, None::<TcpStream>)).collect();
    while !done.load(Ordering::Acquire) {
        for (source, stream) in &mut held {
            let is_open = stream.as_mut().is_some_and(|stream| {
                let read = stream.read(&mut [0; 16]).map_err(|error| error.kind());
                matches!(read, Err(ErrorKind::WouldBlock))
            });
            if !is_open {
                *stream = connect_from(*source, server).ok();
                if let Some(stream) = stream {
                    stream.set_nonblocking(true).unwrap();
                }
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
