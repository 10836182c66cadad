//! Behind a reverse proxy: whose headers are believed, and which.

use serde_json::{Value, json};

use crate::harness::{Link, Options, Server, address_in};

const OWN_HEADER: &str = "cf-connecting-ip";

/// A proxy at 127.0.0.1 that names the client in a header of its own.
fn behind(proxies: &str) -> Options {
    Options::new()
        .clickhouse_away()
        .flag("--trusted-proxies", proxies)
        .flag("--client-ip-header", "CF-Connecting-IP")
}

fn country_of_last(server: &Server, link: &Link) -> Value {
    server.data.logged_clicks_of(link).pop().unwrap()["country"].clone()
}

#[test]
fn an_untrusted_proxy_is_reported_once() {
    let server = Options::links_only().start();
    let link = server.link();
    server.visit(&link).send().expect(302);
    assert_eq!(server.readiness()["warnings"], json!([]));
    for _ in 0..3 {
        server.visit(&link).from("203.0.113.7").send().expect(302);
        server.request(reqwest::Method::GET, "/api/v1/links").send().unwrap();
    }
    let warnings = server.readiness()["warnings"].clone();
    let warning = warnings[0].as_str().unwrap();
    assert!(warning.contains("127.0.0.1") && warning.contains("--trusted-proxies"), "{warning}");
    assert_eq!(warnings.as_array().unwrap().len(), 1);
    let log = server.stop_for_log();
    let lines: Vec<_> = log.iter().filter(|line| line.contains(warning)).collect();
    assert_eq!(lines.len(), 1, "{log:#?}");
    assert!(lines[0].contains("\"WARN\""), "{lines:?}");
}

#[test]
fn trusted_proxies_name_the_client_in_their_own_header() {
    let server = behind("private").start();
    let link = server.link();
    let (german, french) = (address_in("DE"), address_in("FR"));
    server.visit(&link).header(OWN_HEADER, german).from(french).send().expect(302);
    assert_eq!(country_of_last(&server, &link), "DE");
    server.visit(&link).from(french).send().expect(302);
    assert_ne!(country_of_last(&server, &link), "FR", "the standard headers are not read");
    assert_eq!(server.readiness()["warnings"], json!([]));
}

#[test]
fn others_do_not_name_the_client() {
    let server = behind("cloudflare").start();
    let link = server.link();
    server.visit(&link).header(OWN_HEADER, address_in("DE")).send().expect(302);
    assert_ne!(country_of_last(&server, &link), "DE");
    let warning = server.readiness()["warnings"][0].to_string();
    assert!(warning.contains("--trusted-proxies"), "{warning}");
}
