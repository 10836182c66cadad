//! Domains: ownership, links and responses.

mod acme;
mod hosts;
mod lifecycle;
mod qualified;
mod tls;
mod verification;
mod visits;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, NameServer, Options, Server, agents};

/// A service that uses the test's name server.
fn start(names: &NameServer) -> Server {
    options(names).start()
}

fn options(names: &NameServer) -> Options {
    Options::links_only().flag("--dns-server", names.address.to_string())
}

/// A domain that has been verified by a record.
#[track_caller]
fn verified(server: &Server, names: &NameServer, body: &Value) -> Value {
    let made = server.api().post("/domains", body).expect(201).data();
    let todo = &made["verification"];
    let text = |name: &str| todo[name].as_str().unwrap();
    names.text(text("txt_name"), text("value"));
    verify(server, &made).expect(200).data()
}

#[track_caller]
fn verify(server: &Server, domain: &Value) -> Answer {
    server.api().post(&format!("{}/verify", path(domain)), &json!({}))
}

fn path(domain: &Value) -> String {
    format!("/domains/{}", domain["id"].as_str().unwrap())
}

/// A browser's request at a host.
#[track_caller]
fn at(server: &Server, host: &str, path: &str) -> Answer {
    let request = server.request(Method::GET, path).header("host", host);
    Answer::to(request.header("user-agent", agents::CHROME_ON_WINDOWS))
}
