//! Acknowledged changes survive crashes of the process and damage to the index.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;

use crate::harness::{DataFolder, Link, Options, Server, TOKEN, eventually, slugline};

const VISITORS: u64 = 4;
const WRITERS: u64 = 2;

/// The responses that clients saw before the server was killed.
struct Seen {
    /// Redirects that were answered.
    answered: u64,
    /// Links whose creation was answered.
    created: Vec<Link>,
}

/// Visits and creates from several threads, and SIGKILLs the server in the midst of it.
fn load_and_kill(server: Server, link: &Link) -> Seen {
    let (answered, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let created = std::thread::scope(|scope| {
        for _ in 0..VISITORS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let Ok(answer) = server.visit(link).try_send() else { return };
                    assert_eq!(answer.status, 302);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let writers: Vec<_> =
            (0..WRITERS).map(|_| scope.spawn(|| create_until_cut_off(&server))).collect();
        eventually("some thousand visits", || {
            (answered.load(Ordering::Relaxed) > 3_000).then_some(())
        });
        server.signal(rustix::process::Signal::KILL);
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    drop(server);
    Seen { answered: answered.into_inner(), created }
}

fn create_until_cut_off(server: &Server) -> Vec<Link> {
    let mut created = Vec::new();
    let url = format!("{}/api/v1/links", server.base);
    let client = crate::harness::client();
    loop {
        let body = json!({ "destination": "https://example.com" });
        let Ok(answer) = client.post(&url).bearer_auth(TOKEN).json(&body).send() else {
            return created;
        };
        assert_eq!(answer.status(), 201);
        let Ok(answer) = answer.json::<serde_json::Value>() else { return created };
        created.push(Link::of(&answer["data"]));
    }
}

#[test]
fn a_kill_loses_no_answer_and_counts_no_click_twice() {
    let server = Options::new().start();
    server.await_analytics();
    let (data, link) = (server.data.clone(), server.link());
    let mut answered = 0;
    let mut again = server;
    let mut created = Vec::new();
    for _ in 0..2 {
        let seen = load_and_kill(again, &link);
        answered += seen.answered;
        created.extend(seen.created);
        again = Options::at(&data).start();
    }
    let logged = data.logged_clicks_of(&link).len() as u64;
    // Beyond what was answered there may be a click whose answer was cut off, one a visitor.
    assert!((answered..=answered + 2 * VISITORS).contains(&logged), "{answered}, {logged} logged");
    again.await_clicks(&link, logged);
    assert!(!created.is_empty());
    for link in &created {
        again.api().get(&format!("/links/{}", link.id)).expect(200);
    }
}

#[test]
fn a_stop_in_order_leaves_nothing_to_do() {
    let server = Options::new().start();
    server.await_analytics();
    let (data, link) = (server.data.clone(), server.link());
    for _ in 0..50 {
        server.visit(&link).send().expect(302);
    }
    assert!(server.stop().success());
    assert_eq!(data.logged_clicks_of(&link).len(), 50);
    Options::at(&data).start().await_clicks(&link, 50);
}

/// All the files below a folder.
fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn an_index_that_is_gone_or_garbage_is_rebuilt() {
    let server = Options::links_only().public_url("http://sho.rt").start();
    let data = server.data.clone();
    let kept = server.api().create(
        &json!({ "destination": "https://example.com/kept", "slug": "kept", "title": "Kept" }),
    );
    let gone = server.link();
    server.api().delete(&gone.path()).expect(204);
    server.api().patch(&kept.path(), &json!({ "utm_source": "x" })).expect(200);
    let before = server.api().get(&kept.path()).expect(200).data();
    drop(server);

    for damage in ["gone", "garbage", "cut"] {
        let index = data.path().join("index");
        assert!(!files(&index).is_empty());
        match damage {
            "gone" => fs::remove_dir_all(&index).unwrap(),
            _ => {
                for path in files(&index) {
                    let bytes = fs::read(&path).unwrap();
                    let cut = bytes[..bytes.len() / 2].to_vec();
                    let garbage = vec![0xA5; bytes.len()];
                    fs::write(&path, if damage == "cut" { cut } else { garbage }).unwrap();
                }
            }
        }
        let server = Options::links_only().public_url("http://sho.rt").with_data(&data).start();
        assert_eq!(server.api().get("/links/kept").expect(200).data(), before, "{damage}");
        assert_eq!(server.visit(&kept).follow(), "https://example.com/kept?utm_source=x");
        server.api().get(&gone.path()).problem(404, "NOT_FOUND");
        let list = server.api().get("/links").expect(200).json();
        assert_eq!(list["meta"]["total"], 1, "{damage}");
    }
}

/// The analytics' tables go with their folder, and come again from the log.
#[test]
fn analytics_that_are_gone_are_projected_anew() {
    let server = Options::new().start();
    let (data, link) = (server.data.clone(), server.link());
    for _ in 0..7 {
        server.visit(&link).send().expect(302);
    }
    server.await_clicks(&link, 7);
    assert!(server.stop().success());
    fs::remove_dir_all(data.path().join("clickhouse")).unwrap();
    let again = Options::at(&data).start();
    again.await_clicks(&link, 7);
    assert!(again.stop().success());
    // And where only the plan is lost, or is an old one, nothing is counted twice.
    let plan = data.path().join("clickhouse.plan");
    let old = fs::read(&plan).unwrap();
    fs::remove_file(&plan).unwrap();
    for clicks in [8, 9] {
        let again = Options::at(&data).start();
        again.visit(&link).send().expect(302);
        again.await_clicks(&link, clicks);
        assert!(again.stop().success());
        fs::write(&plan, &old).unwrap();
    }
    Options::at(&data).start().await_clicks(&link, 9);
}

fn rebuild_index(data: &DataFolder) {
    let arguments = ["rebuild", "index", "--data-dir"];
    let output = slugline().args(arguments).arg(data.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("index rebuilt from"));
}

/// A damaged record stops the start with a word on what to do; what is done gives up no record
/// before it.
#[test]
fn a_damaged_record_is_refused_and_can_be_put_in_quarantine() {
    let server = Options::links_only().start();
    let data = server.data.clone();
    let links: Vec<_> = (0..20).map(|_| server.link()).collect();
    assert!(server.stop().success());
    let segment = data.last_segment("mutations");
    let whole = fs::read(&segment).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(&segment, &damaged).unwrap();
    let refused = Options::links_only().with_data(&data).command().output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success());
    for word in [segment.to_str().unwrap(), "slugline log verify", "slugline log quarantine"] {
        assert!(said.contains(word), "{said}");
    }
    assert!(!data.log_command(&["verify"]).status.success());
    let would = data.log_command(&["quarantine", "mutations"]);
    assert!(String::from_utf8_lossy(&would.stdout).contains("nothing was changed"));
    assert_eq!(fs::read(&segment).unwrap(), damaged);
    assert!(data.log_command(&["quarantine", "mutations", "--yes"]).status.success());
    assert!(data.log_command(&["verify"]).status.success());

    // The index knows more than the log does now, and says so rather than to forget it silently.
    let ahead = Options::links_only().with_data(&data).command().output().unwrap();
    assert!(!ahead.status.success());
    let said = String::from_utf8_lossy(&ahead.stderr).into_owned();
    assert!(said.contains("slugline rebuild index"), "{said}");
    rebuild_index(&data);
    let server = Options::links_only().with_data(&data).start();
    // The same with a running service.
    rebuild_index(&data);
    let left =
        links.iter().filter(|link| server.api().get(&format!("/links/{}", link.id)).status == 200);
    let left = left.count();
    assert!((5..15).contains(&left), "{left} of 20 links are left");
    let again = data.log_command(&["quarantine", "clicks", "--yes"]);
    assert!(!again.status.success(), "the service is at work");
}
