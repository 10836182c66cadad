//! TLS with certificates from an ACME authority.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::tls::{connect, free_address, get};
use super::{options, path, verified};
use crate::harness::{AcmeServer, FileServer, NameServer, Options, Server, eventually};

const OWN: &str = "sho.example";
const CONTACT: &str = "mailto:ops@sho.example";

struct Setup {
    names: NameServer,
    authority: AcmeServer,
    tls: SocketAddr,
    options: Options,
}

impl Setup {
    fn new() -> Self {
        Self::reached_at(&format!("http://{OWN}"))
    }

    fn reached_at(url: &str) -> Self {
        let (names, authority, tls) = (NameServer::start(), AcmeServer::start(), free_address());
        let options = options(&names).public_url(url);
        let mut setup = Self { names, authority, tls, options: options.clone() };
        setup.options = setup.asking(&setup.authority, CONTACT, options);
        setup
    }

    /// Certificates come from this authority, which may write to this address.
    fn asking(&self, authority: &AcmeServer, contact: &str, options: Options) -> Options {
        authority.hosts_lead_to(options.listen.unwrap());
        options
            .env("SLUGLINE_TLS_ACME", "true")
            .flag("--tls-listen", self.tls.to_string())
            .flag("--tls-acme-directory", authority.directory())
            .flag("--tls-acme-root", authority.root_file())
            .flag("--tls-acme-contact", contact)
    }

    /// The same data, with other settings.
    fn again(&self, authority: &AcmeServer, contact: &str) -> Options {
        let options = options(&self.names).with_data(&self.options.data);
        self.asking(authority, contact, options.public_url(&format!("http://{OWN}")))
    }

    /// The certificate (DER) that a host shows to a client that trusts the authority.
    fn shown(&self, host: &str) -> Option<Vec<u8>> {
        self.shown_of(&self.authority, host)
    }

    fn shown_of(&self, authority: &AcmeServer, host: &str) -> Option<Vec<u8>> {
        let stream = connect(&authority.root, host, self.tls).ok()?;
        let chain = stream.conn.peer_certificates()?;
        Some(chain[0].as_ref().to_vec())
    }

    #[track_caller]
    fn await_shown(&self, host: &str) -> Vec<u8> {
        eventually(&format!("{host} has a certificate"), || self.shown(host))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.options.data.path().join("certificates").join(name)
    }
}

fn metric(server: &Server, name: &str) -> Option<String> {
    let text = server.get("/metrics").expect(200).text;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map(str::to_owned)
}

#[test]
fn the_services_own_host_gets_a_certificate() {
    let setup = Setup::new();
    let server = setup.options.start();
    setup.await_shown(OWN);
    let root = &setup.authority.root;
    assert!(get(root, OWN, setup.tls, "/readyz").unwrap().starts_with("HTTP/1.1 200"));
    assert!(get(root, "other.example", setup.tls, "/readyz").is_err());
    assert_eq!(setup.authority.accounts(), [CONTACT]);
    eventually("the order is counted", || {
        let issued = metric(&server, "slugline_certificate_orders_total{outcome=\"issued\"}");
        (issued.as_deref() == Some("1")).then_some(())
    });
    server.get("/.well-known/acme-challenge/token").expect(404);

    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(setup.file("")), 0o700);
    for name in ["sho.example.crt", "sho.example.key", "account.json"] {
        assert_eq!(mode(setup.file(name)), 0o600, "{name}");
    }
    let key = fs::read_to_string(setup.file("sho.example.key")).unwrap();
    let account = fs::read_to_string(setup.file("account.json")).unwrap();
    let account: serde_json::Value = serde_json::from_str(&account).unwrap();
    let account_key = account["credentials"]["key_pkcs8"].as_str().unwrap();
    let log = server.stop_for_log().concat();
    assert!(log.contains("ordering a certificate"), "{log}");
    assert!(!log.contains(account_key) && !log.contains(key.lines().nth(1).unwrap()), "{log}");
    assert_eq!(setup.authority.orders(), [OWN]);
    setup.authority.expect_no_wrongs();
}

#[test]
fn a_domain_gets_one_once_it_is_verified() {
    let setup = Setup::new();
    let server = setup.options.start();
    setup.await_shown(OWN);
    server.api().post("/domains", &json!({ "hostname": "claimed.example" })).expect(201);
    verified(&server, &setup.names, &json!({ "hostname": "dev.test:8081" }));
    verified(&server, &setup.names, &json!({ "hostname": "go.example" }));
    setup.await_shown("go.example");
    let body = json!({ "slug": "s", "domain": "go.example", "destination": "https://example.com" });
    server.api().post("/links", &body).expect(201);
    let answer = get(&setup.authority.root, "go.example", setup.tls, "/s").unwrap();
    assert!(answer.starts_with("HTTP/1.1 302"), "{answer}");
    setup.await_shown(OWN);
    assert_eq!(setup.authority.orders(), [OWN, "go.example"]);
    assert_eq!(setup.authority.accounts().len(), 1);
    setup.authority.expect_no_wrongs();
    assert!(server.stop().success());
}

/// The authority looks at port 80, whatever port visitors come to.
#[test]
fn the_services_own_host_gets_one_whatever_its_port() {
    let setup = Setup::reached_at(&format!("https://{OWN}:8443"));
    let server = setup.options.start();
    setup.await_shown(OWN);
    assert_eq!(setup.authority.orders(), [OWN]);
    assert!(server.stop().success());
}

#[test]
fn a_domain_that_is_removed_loses_its_certificate_and_key() {
    let setup = Setup::new();
    let server = setup.options.start();
    let own = setup.await_shown(OWN);
    let domain = verified(&server, &setup.names, &json!({ "hostname": "go.example" }));
    setup.await_shown("go.example");
    server.api().delete(&path(&domain)).expect(204);
    eventually("its handshake is refused", || setup.shown("go.example").is_none().then_some(()));
    let is_there = |names: &[&str]| names.iter().any(|name| setup.file(name).exists());
    assert!(!is_there(&["go.example.crt", "go.example.key"]));
    assert_eq!(setup.shown(OWN).as_ref(), Some(&own));

    // It may come again.
    verified(&server, &setup.names, &json!({ "hostname": "go.example" }));
    setup.await_shown("go.example");
    assert_eq!(setup.authority.orders(), [OWN, "go.example", "go.example"]);
    assert!(server.stop().success());

    // Files of hosts that no longer need them are removed at startup.
    for ending in ["crt", "key"] {
        let copied = setup.file(&format!("gone.example.{ending}"));
        fs::copy(setup.file(&format!("go.example.{ending}")), copied).unwrap();
    }
    let server = setup.options.start();
    eventually("what is left is gone", || {
        (!is_there(&["gone.example.crt", "gone.example.key"])).then_some(())
    });
    assert_eq!(setup.shown(OWN), Some(own));
    assert!(setup.shown("go.example").is_some());
    assert_eq!(setup.authority.accounts().len(), 1);
    assert!(server.stop().success());
    setup.authority.expect_no_wrongs();
}

#[test]
fn an_authority_that_fails_stops_nothing_and_is_asked_again() {
    let setup = Setup::new();
    setup.authority.fail(true);
    let server = setup.options.start();
    verified(&server, &setup.names, &json!({ "hostname": "go.example" }));
    eventually("both orders have failed", || {
        let failed = metric(&server, "slugline_certificate_orders_total{outcome=\"failed\"}");
        let waiting = metric(&server, "slugline_certificates_failing");
        (failed.as_deref() == Some("2") && waiting.as_deref() == Some("2")).then_some(())
    });
    let log = server.stderr.text();
    assert!(log.contains("the authority is out of order"), "{log}");
    assert!(setup.shown(OWN).is_none());
    let link = server.link();
    server.visit(&link).follow();

    setup.authority.fail(false);
    server.signal(Signal::HUP);
    setup.await_shown(OWN);
    setup.await_shown("go.example");
    eventually("nobody waits", || {
        (metric(&server, "slugline_certificates_failing").as_deref() == Some("0")).then_some(())
    });
    assert_eq!(setup.authority.orders().len(), 4);
    setup.authority.expect_no_wrongs();
    assert!(server.stop().success());
}

#[test]
fn a_host_that_leads_elsewhere_is_told_of() {
    let (setup, elsewhere) = (Setup::new(), FileServer::start());
    setup.authority.hosts_lead_to(elsewhere.address);
    let server = setup.options.start();
    eventually("the reason is logged", || {
        server.stderr.text().contains("did not validate the host").then_some(())
    });
    let asked = elsewhere.requests();
    assert!(asked[0].starts_with("GET /.well-known/acme-challenge/token-"), "{asked:?}");
    assert!(setup.shown(OWN).is_none());
    server.get("/readyz").expect(200);
}

#[test]
fn a_restart_goes_on_with_what_is_kept() {
    let setup = Setup::new();
    let server = setup.options.start();
    let first = setup.await_shown(OWN);
    assert!(server.stop().success());

    // Hosts take their turns by their time: were the service's own due, it would come first.
    let server = setup.options.start();
    assert_eq!(setup.shown(OWN), Some(first));
    verified(&server, &setup.names, &json!({ "hostname": "go.example" }));
    setup.await_shown("go.example");
    assert!(server.stop().success());
    assert_eq!(setup.authority.orders(), [OWN, "go.example"]);
    assert_eq!(setup.authority.accounts().len(), 1);

    // A pair that a crash has left half is no certificate.
    fs::copy(setup.file("go.example.key"), setup.file("sho.example.key")).unwrap();
    let server = setup.options.start();
    setup.await_shown(OWN);
    assert!(server.stop().success());
    assert_eq!(setup.authority.orders(), [OWN, "go.example", OWN]);
    setup.authority.expect_no_wrongs();
}

#[test]
fn another_authority_issues_anew() {
    let mut setup = Setup::new();
    let server = setup.options.start();
    setup.await_shown(OWN);
    assert!(server.stop().success());

    let other = AcmeServer::start();
    setup.options = setup.again(&other, CONTACT);
    let server = setup.options.start();
    eventually("the other's certificate is shown", || setup.shown_of(&other, OWN));
    assert!(server.stop().success());
    assert_eq!((setup.authority.orders().len(), other.orders().len()), (1, 1));
    other.expect_no_wrongs();
}

#[test]
fn the_account_is_kept_and_changed_and_made_anew_once_it_is_forgotten() {
    let mut setup = Setup::new();
    let server = setup.options.start();
    setup.await_shown(OWN);
    assert!(server.stop().success());

    setup.options = setup.again(&setup.authority, "mailto:new@sho.example");
    let server = setup.options.start();
    verified(&server, &setup.names, &json!({ "hostname": "go.example" }));
    setup.await_shown("go.example");
    assert_eq!(setup.authority.accounts(), ["mailto:new@sho.example"]);

    setup.authority.forget_accounts();
    verified(&server, &setup.names, &json!({ "hostname": "late.example" }));
    eventually("the authority knows nobody", || {
        server.stderr.text().contains("accountDoesNotExist").then_some(())
    });
    server.signal(Signal::HUP);
    setup.await_shown("late.example");
    assert_eq!(setup.authority.accounts(), ["mailto:new@sho.example"]);
    assert_eq!(setup.authority.orders(), [OWN, "go.example", "late.example"]);
    setup.authority.expect_no_wrongs();
    assert!(server.stop().success());
}

#[test]
fn a_certificate_near_its_end_is_renewed() {
    let setup = Setup::new();
    setup.authority.certificates_last(Duration::from_secs(8));
    let server = setup.options.start();
    let first = setup.await_shown(OWN);
    setup.authority.certificates_last(Duration::from_secs(3_600));
    eventually("another certificate is shown", || setup.shown(OWN).filter(|shown| *shown != first));
    assert_eq!(setup.authority.orders(), [OWN, OWN]);
    assert_eq!(setup.authority.accounts().len(), 1);
    setup.authority.expect_no_wrongs();
    assert!(server.stop().success());
}
