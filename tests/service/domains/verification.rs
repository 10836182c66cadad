//! Domain verification, and the hosts that it must not contact.

use serde_json::json;

use super::tls::{certify, free_address};
use super::{at, options, path, start, verify};
use crate::harness::{FileServer, NameServer, Server};

const PROOF_PATH: &str = "/.well-known/slugline-verify";

fn add(server: &Server, hostname: &str) -> serde_json::Value {
    server.api().post("/domains", &json!({ "hostname": hostname })).expect(201).data()
}

fn proof(domain: &serde_json::Value) -> String {
    domain["verification"]["value"].as_str().unwrap().to_owned()
}

#[test]
fn a_file_on_the_host_is_a_proof() {
    let (names, files) = (NameServer::start(), FileServer::start());
    let server = options(&names).flag("--outgoing-allow", "127.0.0.1/32").start();
    let port = files.address.port();
    names.host("go.test", "127.0.0.1");
    let domain = add(&server, &format!("go.test:{port}"));
    let refused = |answer: &str| {
        files.answer(PROOF_PATH, answer);
        verify(&server, &domain).refuses(422, "VERIFICATION_FAILED", &["dns", "http", "https"]);
    };
    refused("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    refused("HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\nslugline-verify=another");
    // Redirects are not followed: the target may be controlled by someone else.
    files.file("/good", &proof(&domain));
    refused("HTTP/1.1 302 Found\r\nLocation: /good\r\nContent-Length: 0\r\n\r\n");
    let long = format!("{}\n{}\n", "x".repeat(8_000), proof(&domain));
    refused(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{long}", long.len()));
    refused("SSH-2.0-OpenSSH_9.6\r\n");
    assert!(!files.requests().iter().any(|line| line.contains("/good")), "{:?}", files.requests());

    files.file(PROOF_PATH, &format!("other-service=1\n{}\n", proof(&domain)));
    let proven = verify(&server, &domain).expect(200).data();
    assert!(proven["verified_at"].is_string(), "{proven}");
}

#[test]
fn a_host_that_leads_here_already_shows_its_proof_by_itself() {
    let names = NameServer::start();
    let server = options(&names).flag("--outgoing-allow", "127.0.0.0/8").start();
    names.host("go.test", "127.0.0.1");
    let host = format!("go.test:{}", server.address().port());
    at(&server, &host, PROOF_PATH).expect(404);
    let domain = add(&server, &host);
    assert_eq!(at(&server, &host, PROOF_PATH).expect(200).text, proof(&domain));
    at(&server, "go.test:1", PROOF_PATH).expect(404);
    let portless = add(&server, "go.example");
    assert_eq!(at(&server, "Go.example:8443", PROOF_PATH).expect(200).text, proof(&portless));
    verify(&server, &domain).expect(200);
    at(&server, &host, PROOF_PATH).expect(404);

    // An address of this machine's own, for development: it has no records.
    let address = format!("127.0.0.2:{}", server.address().port());
    let local = add(&server, &address);
    assert!(local["verification"]["txt_name"].is_null());
    verify(&server, &local).refuses(422, "VERIFICATION_FAILED", &["http", "https"]);
    server.api().delete(&path(&local)).expect(204);
}

/// Names that lead to this machine, its network or a cloud's metadata; and addresses in the place
/// of names. Nothing is sent there.
#[test]
fn no_user_leads_requests_to_private_addresses() {
    let (names, files) = (NameServer::start(), FileServer::start());
    let server = start(&names);
    let port = files.address.port();
    for (number, address) in [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.168.0.1",
        "224.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "fd00:ec2::254",
        "fe80::1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("n{number}.test");
        names.host(&name, address);
        for host in [name.clone(), format!("{name}:{port}")] {
            let refused = verify(&server, &add(&server, &host));
            let errors = refused.problem(422, "VERIFICATION_FAILED")["errors"].clone();
            for scheme in ["http", "https"] {
                let said = errors[scheme][0].as_str().unwrap();
                let expected = format!("{name} leads to no address");
                assert!(said.starts_with(&expected), "{address}: {said}");
            }
        }
    }
    for host in [format!("127.0.0.1:{port}"), format!("[::1]:{port}"), format!("localhost:{port}")]
    {
        verify(&server, &add(&server, &host)).problem(422, "VERIFICATION_FAILED");
    }
    // A public address, but no port of the web's.
    names.host("public.test", "93.184.215.14");
    let refused = verify(&server, &add(&server, "public.test:25"));
    let errors = refused.problem(422, "VERIFICATION_FAILED")["errors"].clone();
    assert!(errors["http"][0].as_str().unwrap().contains("leads to no address"), "{errors}");
    assert_eq!(files.requests(), Vec::<String>::new());
}

/// Of a name's addresses only those are tried that may be.
#[test]
fn a_private_address_beside_an_allowed_one_is_passed_over() {
    let (names, files) = (NameServer::start(), FileServer::start());
    let server = options(&names).flag("--outgoing-allow", "127.0.0.1").start();
    names.host("go.test", "10.0.0.1");
    names.host("go.test", "127.0.0.1");
    let domain = add(&server, &format!("go.test:{}", files.address.port()));
    files.file(PROOF_PATH, &proof(&domain));
    verify(&server, &domain).expect(200);
}

/// A file over TLS, with a certificate that the system trusts: here because it is told to.
#[test]
fn a_file_over_tls_is_a_proof_where_the_certificate_is_trusted() {
    let (names, folder, address) =
        (NameServer::start(), tempfile::tempdir().unwrap(), free_address());
    certify(folder.path(), "pair", "go.test");
    certify(folder.path(), "other", "go.test");
    names.host("go.test", "127.0.0.1");
    let options = options(&names)
        .flag("--outgoing-allow", "127.0.0.1")
        .flag("--tls-listen", address.to_string())
        .flag("--tls-cert", folder.path().join("pair.crt"))
        .flag("--tls-key", folder.path().join("pair.key"));
    let trusting = |name: &str| options.clone().env("SSL_CERT_FILE", folder.path().join(name));
    let server = trusting("other.crt").start();
    let domain = add(&server, &format!("go.test:{}", address.port()));
    let refused = verify(&server, &domain).problem(422, "VERIFICATION_FAILED");
    let said = refused["errors"]["https"][0].as_str().unwrap();
    assert!(said.starts_with("TLS failed"), "{said}");
    drop(server);
    let server = trusting("pair.crt").start();
    verify(&server, &domain).expect(200);
}
