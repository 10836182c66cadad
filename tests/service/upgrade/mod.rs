//! Data folders written by earlier versions: this version opens them, and they mean the same.
//!
//! Each folder `tests/fixtures/data-VERSION` was written by [`generate`] with the program of that
//! version. Fixtures are never regenerated: a new version adds one.

mod generate;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::GzDecoder;
use reqwest::Method;
use serde_json::{Value, json};
use slugline::log::{DiskStorage, LocalLog, LogOptions};
use slugline::projections::index::Index;

use crate::harness::{
    Answer, DataFolder, Options, Server, address_in, agents, eventually, slugline,
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// How a fixture is served, by the version that writes it and by all later ones.
fn options(data: &DataFolder) -> Options {
    let options = Options::at(data).behind_proxy().public_url("http://sho.rt");
    options.flag("--crawler-list", data.path().join("crawlers.json"))
}

/// A visit as `expected.json` describes it, and how it is answered: status, `location`.
#[track_caller]
fn visit(server: &Server, visit: &Value) -> (u16, Value) {
    let text = |name: &str| visit[name].as_str();
    let path = text("path").unwrap();
    let request = server.request(Method::GET, path).header("host", text("host").unwrap());
    let request = request.header("user-agent", text("agent").unwrap_or(agents::CHROME_ON_WINDOWS));
    let address = text("country").map(|country| address_in(country).to_string());
    let address = address.as_deref().or(text("from")).unwrap_or("198.51.100.1");
    let answer = Answer::to(request.header("x-forwarded-for", address));
    let location = answer.headers.get("location").map(|location| location.to_str().unwrap());
    (answer.status, json!(location))
}

/// `data` of a request as `expected.json` describes it: a path, and a body where it is a `POST`.
#[track_caller]
fn data_of(server: &Server, request: &Value) -> Value {
    let path = request["path"].as_str().unwrap();
    match &request["body"] {
        Value::Null => server.api().get(path).expect(200).data(),
        body => server.api().post(path, body).expect(200).data(),
    }
}

/// Whether all that was recorded is still answered. Later versions may add fields to objects.
fn includes(answered: &Value, recorded: &Value) -> bool {
    match (answered, recorded) {
        (Value::Object(answered), Value::Object(recorded)) => {
            recorded.iter().all(|(name, value)| {
                answered.get(name).is_some_and(|answered| includes(answered, value))
            })
        }
        (Value::Array(answered), Value::Array(recorded)) => {
            answered.len() == recorded.len()
                && answered.iter().zip(recorded).all(|(one, other)| includes(one, other))
        }
        _ => answered == recorded,
    }
}

#[test]
fn data_folders_of_earlier_versions_mean_the_same() {
    let mut versions = 0;
    for entry in fs::read_dir(fixtures()).unwrap() {
        let folder = entry.unwrap().path();
        if folder.join("data.tar.gz").exists() {
            check(&folder);
            versions += 1;
        }
    }
    assert!(versions > 0);
}

fn check(fixture: &Path) {
    let data = DataFolder::new();
    let packed = GzDecoder::new(File::open(fixture.join("data.tar.gz")).unwrap());
    tar::Archive::new(packed).unpack(data.path()).unwrap();
    let expected = fs::read_to_string(fixture.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let rows = |name: &str| expected[name].as_array().unwrap().iter();
    for log in ["mutations", "clicks"] {
        let kinds = generate::kinds(&data.dump(log));
        assert_eq!(kinds, expected["kinds"][log], "{}", fixture.display());
    }

    let server = options(&data).start();
    server.await_analytics();
    server.await_projection();
    for request in rows("requests") {
        // Corrections of past clicks reach the tables some seconds after the clicks.
        eventually(&format!("the recorded answer to {request}"), || {
            includes(&data_of(&server, request), &request["data"]).then_some(())
        });
    }
    compare_projections(&data);
    for described in rows("visits") {
        let answered = visit(&server, described);
        let recorded = (described["status"].as_u64().unwrap(), described["location"].clone());
        assert_eq!((u64::from(answered.0), answered.1), recorded, "{described}");
    }
    for token in rows("revoked_tokens") {
        server.api_as(token.as_str().unwrap()).get("/links").problem(401, "INVALID_API_KEY");
    }
    // What is written now continues what was written then.
    let link = server.link();
    server.visit(&link).send().expect(302);
    server.await_clicks(&link, 1);
    compare_projections(&data);
    assert!(server.stop().success());
    let restarted = options(&data).start();
    restarted.await_clicks(&link, 1);
    assert!(restarted.stop().success());
    compare_indexes(&data);
}

/// Both logs are sound, and ClickHouse has each click of the log once.
fn compare_projections(data: &DataFolder) {
    let verified = data.log_command(&["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    let verified = slugline().args(["verify", "--data-dir"]).arg(data.path()).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// The index holds what one holds that is built from the log alone.
fn compare_indexes(data: &DataFolder) {
    let folder = data.path().join("log/mutations");
    let log = LocalLog::open(Arc::new(DiskStorage), &folder, LogOptions::default()).unwrap();
    let digest = |folder: &Path| Index::open(folder, &log).unwrap().digest().unwrap();
    let kept = digest(&data.path().join("index"));
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(kept, digest(&folder.path().join("index")));
}
