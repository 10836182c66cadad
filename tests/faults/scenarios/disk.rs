//! The disk fills up and has space again: meanwhile changes fail with 507, but redirects and reads
//! work. Afterwards everything works without a restart, and nothing that was acknowledged is lost.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::Counts;
use super::log::{Clicks, check_visits};
use crate::harness::{DataFolder, Link, Options, Server, eventually, within};

const SIZE_MIB: u64 = 24;

pub fn run(rounds: u64) -> Counts {
    let counts = Counts::default();
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED: no small file system can be mounted here (that takes root)");
        counts.add("skipped", 1);
        return counts;
    };
    let data = DataFolder::at(&disk.0.join("slugline"));
    let server = Options::links_only().with_data(&data).start();
    let link = server.link();
    let mut visits = Visits::default();
    let mut made: Vec<Link> = Vec::new();
    for round in 0..rounds {
        // Full immediately, or gradually under load.
        disk.fill(if round % 2 == 0 { 0 } else { 256 << 10 });
        within(Duration::from_secs(60), "changes are refused", || {
            visits.make(&server, &link, 20);
            let answer = server.api().post(
                "/links",
                &json!({ "destination": "https://example.com", "title": "x".repeat(200) }),
            );
            if answer.status == 201 {
                made.push(Link::of(&answer.data()));
                return None;
            }
            // Where the event was logged but the index could not take it, that is unknown.
            (answer.status == 507).then(|| answer.problem(507, "DISK_FULL"))
        });
        for _ in 0..5 {
            visits.make(&server, &link, 40);
            server.readiness();
            server.api().get(&link.path()).expect(200);
            let refused = server.api().patch(&link.path(), &json!({ "title": "y" }));
            // A small one may still find room.
            assert!([200, 507, 503].contains(&refused.status), "{refused:?}");
            counts.add("changes refused", u64::from(refused.status != 200));
        }
        disk.make_room();
        let made_again = eventually("changes are taken again", || {
            let answer =
                server.api().post("/links", &json!({ "destination": "https://example.com" }));
            (answer.status == 201).then(|| Link::of(&answer.data()))
        });
        made.push(made_again);
        visits.make(&server, &link, 10);
        counts.add("rounds (disk full)", 1);
    }
    eventually("no click waits in memory", || {
        let metrics = server.get("/metrics").expect(200).text;
        metrics.contains("slugline_queue_waiting{queue=\"clicks\"} 0").then_some(())
    });
    let found = Clicks::of(&data.path()).referrers();
    check_visits(&found, &visits.0, &visits.0, &counts);
    drop(server);
    let again = Options::links_only().with_data(&data).start();
    for link in &made {
        again.api().get(&format!("/links/{}", link.id)).expect(200);
    }
    counts.add("changes answered and there", made.len() as u64);
    counts.add("visits answered and in the log", visits.0.len() as u64);
    counts
}

/// Visits, each of which must be answered.
#[derive(Default)]
struct Visits(BTreeSet<String>);

impl Visits {
    fn make(&mut self, server: &Server, link: &Link, count: usize) {
        for _ in 0..count {
            let page = format!("https://visits.example/{}", self.0.len());
            server.visit(link).referrer(&page).send().expect(302);
            self.0.insert(page);
        }
    }
}

/// A file system of a few MiB in memory.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("slugline-disk-").tempdir().unwrap().keep();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={SIZE_MIB}m"), "tmpfs"])
            .arg(&folder)
            .output();
        let is_mounted = mounted.is_ok_and(|mounted| mounted.status.success());
        if !is_mounted {
            fs::remove_dir(&folder).unwrap();
        }
        is_mounted.then_some(Self(folder))
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Leaves so much room.
    fn fill(&self, room: u64) {
        let free = free_bytes(&self.0).saturating_sub(room);
        let _as_much_as_fits = fs::write(self.ballast(), vec![1; usize::try_from(free).unwrap()]);
    }

    fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0).output();
        let _removed = fs::remove_dir(&self.0);
    }
}

fn free_bytes(folder: &Path) -> u64 {
    let stat = rustix::fs::statvfs(folder).unwrap();
    stat.f_bavail * stat.f_frsize
}
