//! The Nth sync of a thread fails with EIO: from then on no change is acknowledged, redirects
//! continue, the reason is reported, and a restart recovers everything that was acknowledged.
//!
//! strace counts the calls of each thread apart, so it is attached to one thread alone: to the
//! writer (`commands`), whose Nth sync is the Nth group of changes, or to the one that syncs the
//! clicks (`clicks-sync`).

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::Counts;
use crate::harness::{Options, Server, TOKEN, eventually};

/// Which log's syncs fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    Mutations,
    Clicks,
}

/// Makes each of these syncs fail, each in a new service.
pub fn run(syncs: impl Iterator<Item = u64>, of: Of) -> Counts {
    let counts = Counts::default();
    let Some(strace) = strace() else {
        eprintln!("SKIPPED: there is no strace, and it could not be fetched by package name");
        counts.add("skipped", 1);
        return counts;
    };
    for nth in syncs {
        fail_nth(&strace, nth, of, &counts);
        counts.add("rounds (EIO)", 1);
    }
    counts
}

fn fail_nth(strace: &PathBuf, nth: u64, of: Of, counts: &Counts) {
    let options = Options::links_only();
    let server = options.start();
    let (data, link) = (server.data.clone(), server.link());
    let thread = if of == Of::Mutations { "commands" } else { "clicks-sync" };
    let Some(_tracer) = Tracer::attach(strace, server.pid(), thread, nth) else {
        eprintln!("SKIPPED: strace may not be attached to a process here");
        counts.add("skipped", 1);
        return;
    };
    let mut acknowledged = Vec::new();
    match of {
        Of::Mutations => {
            while let Some(slug) = try_create(&server) {
                acknowledged.push(slug);
                assert!(acknowledged.len() as u64 <= nth, "sync {nth} did not fail");
            }
        }
        Of::Clicks => {
            eventually("the clicks' sync fails", || {
                server.visit(&link).send().expect(302);
                is_stopped(&server, "clicks").then_some(())
            });
        }
    }
    let log = if of == Of::Mutations { "mutations" } else { "clicks" };
    eventually("the log says that it is stopped", || is_stopped(&server, log).then_some(()));
    let readiness = server.readiness();
    assert_eq!(readiness["status"], "degraded");
    let reason = readiness["logs"][log]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("sync"), "{reason}");
    eventually("the cause is logged", || {
        server.stderr.contains("accepts no more writes").then_some(())
    });
    for _ in 0..3 {
        server.visit(&link).send().expect(302);
        if of == Of::Mutations {
            assert_eq!(try_create(&server), None, "acknowledged after a failed sync");
            counts.add("changes refused", 1);
        }
    }
    drop(server);
    let again = options.with_data(&data).start();
    assert_eq!(again.readiness()["status"], "ready");
    for slug in &acknowledged {
        again.api().get(&format!("/links/{slug}")).expect(200);
    }
    again.api().get(&link.path()).expect(200);
    assert!(try_create(&again).is_some());
    counts.add("changes acknowledged and there", acknowledged.len() as u64);
}

/// strace, attached to a thread.
struct Tracer(Child);

impl Tracer {
    /// Lets the Nth sync of a thread fail; `None` where that is not allowed.
    fn attach(strace: &PathBuf, pid: u32, thread: &str, nth: u64) -> Option<Self> {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let task = tasks.map(|task| task.unwrap().path()).find(|task| {
            fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == thread)
        });
        let task = task.unwrap();
        let inject = format!("inject=fdatasync:error=EIO:when={nth}");
        let tracer = Command::new(strace)
            .args(["-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", &inject, "-p"])
            .arg(task.file_name().unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut tracer = Self(tracer);
        eventually("strace is attached, or refused", || {
            let status = fs::read_to_string(task.join("status")).unwrap();
            let is_attached = !status.contains("TracerPid:\t0\n");
            let is_refused = tracer.0.try_wait().unwrap().is_some();
            (is_attached || is_refused).then_some(is_attached)
        })
        .then_some(tracer)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn is_stopped(server: &Server, log: &str) -> bool {
    server.readiness()["logs"][log]["state"] == "stopped"
}

/// The slug of a new link; `None` if the change fails as expected.
fn try_create(server: &Server) -> Option<String> {
    let body = json!({ "destination": "https://example.com" });
    let answer = server.api_as(TOKEN).post("/links", &body);
    if answer.status == 201 {
        return Some(answer.data()["slug"].as_str().unwrap().to_owned());
    }
    answer.problem(503, "CHANGES_UNAVAILABLE");
    None
}

/// strace: the machine's own, or Debian's package, unpacked into a folder of the cache.
fn strace() -> Option<PathBuf> {
    let works = |path: &PathBuf| {
        let ran = Command::new(path).args(["-qq", "-o", "/dev/null", "true"]).output();
        ran.is_ok_and(|ran| ran.status.success())
    };
    let own = PathBuf::from("strace");
    if works(&own) {
        return Some(own);
    }
    let folder = slugline::engine::default_cache_dir().ok()?.join("strace");
    let fetched = folder.join("usr/bin/strace");
    if !fetched.exists() {
        std::fs::create_dir_all(&folder).ok()?;
        let script = "apt-get download strace && dpkg-deb -x strace_*.deb .";
        Command::new("sh").args(["-c", script]).current_dir(&folder).output().ok()?;
    }
    works(&fetched).then_some(fetched)
}
