//! TLS with certificates supplied by the operator.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustix::process::Signal;
use serde_json::json;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{options, verified};
use crate::connections::{ask_for_links, many_links};
use crate::harness::{NameServer, Options, PATIENCE, Server, TOKEN, eventually};

/// A certificate for this host, signed by itself.
pub fn certify(folder: &Path, name: &str, host: &str) -> String {
    let made = rcgen::generate_simple_self_signed(vec![host.to_owned()]).unwrap();
    fs::write(folder.join(format!("{name}.crt")), made.cert.pem()).unwrap();
    fs::write(folder.join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    made.cert.pem()
}

pub fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A connection that has agreed on keys with a host whose certificate is of this root alone, or is
/// this one.
pub fn connect(
    pem: &str,
    host: &str,
    address: SocketAddr,
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(client, TcpStream::connect(address)?);
    stream.sock.set_read_timeout(Some(PATIENCE))?;
    stream.conn.complete_io(&mut stream.sock)?;
    Ok(stream)
}

/// The response head of a host over TLS, for a client that trusts only this certificate.
pub fn get(pem: &str, host: &str, address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = connect(pem, host, address)?;
    let port = address.port();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split("\r\n\r\n").next().unwrap_or_default().to_owned())
}

#[test]
fn each_host_is_served_with_its_own_certificate() {
    let (names, folder, address) =
        (NameServer::start(), tempfile::tempdir().unwrap(), free_address());
    let one = certify(folder.path(), "one.example", "one.example");
    let two = certify(folder.path(), "two.example", "two.example");
    let options =
        options(&names).flag("--tls-listen", address.to_string()).flag("--tls-dir", folder.path());
    let server = options.start();
    verified(&server, &names, &json!({ "hostname": "one.example" }));
    verified(&server, &names, &json!({ "hostname": "two.example" }));
    for host in ["one.example", "two.example"] {
        let to = format!("https://example.com/{host}");
        let body = json!({ "slug": "same", "domain": host, "destination": to });
        server.api().post("/links", &body).expect(201);
    }
    for (host, pem, other) in [("one.example", &one, &two), ("two.example", &two, &one)] {
        let answer = get(pem, host, address, "/same").unwrap();
        assert!(answer.starts_with("HTTP/1.1 302"), "{answer}");
        assert!(answer.contains(&format!("location: https://example.com/{host}")), "{answer}");
        assert!(get(other, host, address, "/same").is_err(), "another's certificate");
        assert!(get(pem, host, address, "/readyz").unwrap().starts_with("HTTP/1.1 200"));
    }
    assert_eq!(server.data.logged_clicks().len(), 2);
    assert!(get(&one, "other.example", address, "/").is_err());

    // Certificates are reloaded on a signal; a failed reload changes nothing.
    let renewed = certify(folder.path(), "one.example", "one.example");
    server.signal(Signal::HUP);
    eventually("the new certificate is used", || {
        get(&renewed, "one.example", address, "/same").ok()
    });
    fs::write(folder.path().join("two.example.key"), "no key").unwrap();
    server.signal(Signal::HUP);
    eventually("the broken key is reported", || {
        server.stderr.contains("two.example.key").then_some(())
    });
    assert!(get(&two, "two.example", address, "/same").unwrap().starts_with("HTTP/1.1 302"));
    assert!(server.stop().success());
}

/// A server with one pair for whatever name, where it serves TLS, and what it shows.
fn with_one_pair(options: Options) -> (Server, SocketAddr, String) {
    let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
    let pem = certify(folder.path(), "pair", "sho.example");
    let server = options
        .flag("--tls-listen", address.to_string())
        .flag("--tls-cert", folder.path().join("pair.crt"))
        .flag("--tls-key", folder.path().join("pair.key"))
        .start();
    (server, address, pem)
}

#[test]
fn one_pair_serves_each_name_and_plain_http_is_no_tls() {
    let (server, address, pem) = with_one_pair(Options::links_only());
    let answer = get(&pem, "sho.example", address, "/readyz").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let plain = crate::harness::client().get(format!("http://{address}/readyz")).send();
    assert!(plain.is_err(), "{plain:?}");
    server.get("/readyz").expect(200);
}

#[test]
fn certificates_that_do_not_fit_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), "a", "a.example");
    certify(folder.path(), "b", "b.example");
    for (key, named) in [("b.key", "a.crt"), ("c.key", "c.key")] {
        let refused = Options::links_only()
            .flag("--tls-listen", "127.0.0.1:0")
            .flag("--tls-cert", folder.path().join("a.crt"))
            .flag("--tls-key", folder.path().join(key))
            .command()
            .output()
            .unwrap();
        assert!(!refused.status.success());
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains(named), "{said}");
    }
}

/// The next answer's head; its body is read too.
fn reply(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    head
}

#[test]
fn connections_over_tls_are_kept_and_end_in_order_when_the_service_stops() {
    let (server, address, pem) = with_one_pair(Options::links_only());
    let link = server.link();
    let mut kept = connect(&pem, "sho.example", address).unwrap();
    for _ in 0..20 {
        write!(kept, "GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", link.slug).unwrap();
        assert!(reply(&mut kept).starts_with("http/1.1 302"));
        write!(kept, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert!(reply(&mut kept).starts_with("http/1.1 200"));
    }
    assert_eq!(server.data.logged_clicks_of(&link).len(), 20);

    let body = json!({ "destination": "https://example.com/late" }).to_string();
    let mut under_way = connect(&pem, "sho.example", address).unwrap();
    write!(
        under_way,
        "POST /api/v1/links HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    )
    .unwrap();
    assert!(reply(&mut under_way).starts_with("http/1.1 100"), "the service waits for the body");
    server.signal(Signal::TERM);
    let end = kept.read(&mut [0]).map_err(|error| error.kind());
    assert!(matches!(end, Ok(0) | Err(ErrorKind::UnexpectedEof)), "not closed: {end:?}");
    eventually("nobody is taken in any more", || TcpStream::connect(address).err());
    under_way.write_all(body.as_bytes()).unwrap();
    let answer = reply(&mut under_way);
    assert!(answer.starts_with("http/1.1 201"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(server.stop().success());
}

#[test]
fn a_stalled_reader_over_tls_does_not_prevent_the_end() {
    let (server, address, pem) = with_one_pair(Options::links_only());
    many_links(&server);
    let mut stalled = connect(&pem, "sho.example", address).unwrap();
    ask_for_links(&mut stalled);
    let log = server.stop_for_log().concat();
    assert!(log.contains("did not finish in time and were aborted"), "{log}");
}

/// Over the service's own TLS, tokens are accepted and browsers get an HSTS header.
#[test]
fn tls_is_what_tokens_want_and_what_browsers_shall_keep_to() {
    let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
    let pem = certify(folder.path(), "pair", "sho.example");
    let server = Options::links_only()
        .public_url("https://sho.example")
        .flag("--tls-listen", address.to_string())
        .flag("--tls-cert", folder.path().join("pair.crt"))
        .flag("--tls-key", folder.path().join("pair.key"))
        .start();
    let body = r#"{"destination": "https://example.com", "slug": "sent"}"#;
    let mut stream = connect(&pem, "sho.example", address).unwrap();
    write!(
        stream,
        "POST /api/v1/links HTTP/1.1\r\nHost: sho.example\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    assert!(reply(&mut stream).starts_with("http/1.1 201"));
    for path in ["/sent", "/livez", "/nothing-here", "/api/v1/links", "/api/v1/docs/"] {
        let head = get(&pem, "sho.example", address, path).unwrap().to_ascii_lowercase();
        let lines: Vec<_> = head.lines().collect();
        assert!(lines.contains(&"strict-transport-security: max-age=31536000"), "{head}");
        assert!(lines.contains(&"x-content-type-options: nosniff"), "{head}");
        let plain = server.get(path);
        assert!(!plain.headers.contains_key("strict-transport-security"), "{plain:?}");
    }
}

/// An address's connections are counted over both listeners, the plain one and this.
#[test]
fn connections_over_tls_count_for_their_address_until_they_end() {
    let limited = Options::links_only().flag("--connections-per-address", "5");
    let (server, address, pem) = with_one_pair(limited);
    let mut plain = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        write!(stream, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert!(reply(&mut stream).starts_with("http/1.1 200"));
        plain.push(stream);
    }
    let mut held = Vec::new();
    while let Ok(stream) = connect(&pem, "sho.example", address) {
        held.push(stream);
        assert!(held.len() <= 3);
    }
    assert!(!held.is_empty());
    let connected = || connect(&pem, "sho.example", address).ok();
    drop(held.pop());
    held.push(eventually("one may take the place of one that ended", connected));
    plain.pop();
    held.push(eventually("or of a plain one", connected));
}

/// As on the plain listener: invalid characters in a target are encoded, not rejected.
#[test]
fn a_target_with_raw_bytes_is_encoded_over_tls_too() {
    let (server, address, pem) = with_one_pair(Options::links_only());
    let link = server.link();
    let mut stream = connect(&pem, "sho.example", address).unwrap();
    write!(stream, "GET /{}?q=\"<a>\"&r=", link.slug).unwrap();
    stream.write_all(b"\xe4\xff HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let head = reply(&mut stream);
    assert!(head.starts_with("http/1.1 302"), "{head}");
    assert_eq!(server.data.logged_clicks_of(&link).len(), 1);
}
