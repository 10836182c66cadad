//! Old clicks leave the log once ClickHouse has them for good; nothing that is counted changes.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use prost::Message;
use slugline::domain::click::{Click, VERSION, kind};
use slugline::log::{DiskStorage, Log, LogOptions, LogView, NewRecord};

use crate::harness::{DataFolder, Link, Options, Server, eventually, slugline};

const OLD_CLICKS: u64 = 900;
const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// Appends clicks of the days before to the log of a service that is stopped: copies of the one
/// click that is there, in segments of a few.
fn append_old(folder: &Path) {
    let view = LogView::open(Arc::new(DiskStorage), folder).unwrap();
    let mut reader = view.read_from(0);
    let records = std::iter::from_fn(|| reader.next_record().unwrap());
    let click = records.filter(|record| record.kind == kind::CLICK).last().unwrap();
    let click = Click::decode(click.payload.as_ref()).unwrap();
    let options = LogOptions { segment_bytes: 4_000 };
    let log = Log::open(Arc::new(DiskStorage), folder, options).unwrap();
    for number in 0..OLD_CLICKS {
        let at_ms = click.at_ms - 80 * DAY_MS + number * DAY_MS / 12;
        let payload = Click { at_ms, visitor: number, ..click.clone() }.encode_to_vec();
        let parts: &[&[u8]] = &[&payload];
        log.append(&[NewRecord { kind: kind::CLICK, version: VERSION, parts }]).unwrap();
    }
    log.sync().unwrap();
}

fn clicks_of(server: &Server, link: &Link) -> u64 {
    server.await_projection();
    let path = format!("{}/clicks/summary?unit=month&units=12&bots=include", link.path());
    server.api().get(&path).expect(200).data()["total_clicks"].as_u64().unwrap()
}

fn run(data: &DataFolder, arguments: &[&str]) -> String {
    let output = slugline().args(arguments).arg("--data-dir").arg(data.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_is_old_leaves_the_log_and_stays_counted() {
    let server = Options::new().start();
    server.await_analytics();
    let (data, link) = (server.data.clone(), server.link());
    server.visit(&link).send().expect(302);
    assert!(server.stop().success());
    let folder = data.path().join("log/clicks");
    append_old(&folder);
    let segments = || {
        let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".seg")).count()
    };
    let all = segments();

    let server = Options::at(&data).flag("--clicks-retention", "1h").start();
    eventually("old segments are gone", || folder.join("first").exists().then_some(()));
    eventually("they are all gone", || {
        server.stderr.contains("oldest segments were dropped").then_some(())
    });
    assert!(segments() < all * 3 / 4, "{} of {all} are left", segments());
    assert_eq!(clicks_of(&server, &link), OLD_CLICKS + 1);
    // Killed, it starts with a plan that speaks of a batch of which a part was dropped.
    drop(server);
    let server = Options::at(&data).start();
    assert_eq!(clicks_of(&server, &link), OLD_CLICKS + 1);
    assert!(run(&data, &["log", "verify"]).contains("clicks: sound"));
    // The comparison knows what was dropped, and a rebuild keeps it.
    run(&data, &["verify"]);
    run(&data, &["rebuild", "analytics"]);
    run(&data, &["verify"]);
    assert_eq!(clicks_of(&server, &link), OLD_CLICKS + 1);
    server.visit(&link).send().expect(302);
    assert!(server.stop().success());
    let again = Options::at(&data).start();
    assert_eq!(clicks_of(&again, &link), OLD_CLICKS + 2);
    run(&data, &["verify"]);
}
