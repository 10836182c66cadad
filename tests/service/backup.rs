//! Backups of the logs during writes, and restoring everything from them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use slugline::identity::PersonalData;
use uuid::Uuid;

use crate::harness::{DataFolder, Options, eventually, slugline};

fn run(arguments: &[&str], folder: &Path, data: &DataFolder) -> Output {
    slugline().args(arguments).arg(folder).arg("--data-dir").arg(data.path()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            files.extend(files_of(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

#[test]
fn a_backup_of_a_busy_service_brings_everything_back() {
    let options = Options::new().public_url("http://sho.rt");
    let server = options.start();
    server.await_analytics();
    let data = server.data.clone();
    let kept =
        server.api().create(&json!({ "destination": "https://example.com/kept", "slug": "kept" }));
    server.api().patch(&kept.path(), &json!({ "title": "changed" })).expect(200);
    let gone = server.link();
    server.api().delete(&gone.path()).expect(204);
    for _ in 0..40 {
        server.visit(&kept).send().expect(302);
    }
    let before = server.api().get(&kept.path()).expect(200).data();
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    let stop = AtomicBool::new(false);
    let made = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                server.visit(&kept).send().expect(302);
                server.link();
            }
        });
        let made = run(&["backup"], &backup, &data);
        stop.store(true, Ordering::Relaxed);
        made
    });
    assert!(made.status.success(), "{}", said(&made));
    assert!(!files_of(&backup).iter().any(|file| file.ends_with("visitor.salt")));
    let foreign = run(&["backup"], folder.path(), &data);
    assert!(
        !foreign.status.success() && said(&foreign).contains("not empty"),
        "{}",
        said(&foreign)
    );
    let present = run(&["restore"], &backup, &data);
    assert!(!present.status.success(), "over a folder that is in use: {}", said(&present));
    drop(server);

    let restored = DataFolder::new();
    let output = run(&["restore"], &backup, &restored);
    assert!(output.status.success(), "{}", said(&output));
    assert!(restored.log_command(&["verify"]).status.success());
    let mutations = restored.dump("mutations");
    assert_eq!(mutations, data.dump("mutations")[..mutations.len()]);
    let clicks = restored.logged_clicks_of(&kept).len() as u64;
    assert!(clicks >= 40);
    let server = options.with_data(&restored).start();
    server.await_clicks(&kept, clicks);
    let after = server.api().get(&kept.path()).expect(200).data();
    for field in ["id", "slug", "destination", "title", "version", "created_at", "updated_at"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    server.api().get(&format!("/links/{}", gone.id)).problem(404, "NOT_FOUND");
    assert_eq!(server.visit(&kept).follow(), "https://example.com/kept");
}

#[test]
fn a_damaged_backup_is_refused_by_name() {
    let server = Options::links_only().start();
    let data = server.data.clone();
    let link = server.link();
    server.visit(&link).send().expect(302);
    eventually("the click is in the log", || (!data.logged_clicks().is_empty()).then_some(()));
    assert!(server.stop().success());
    PersonalData::open(&data.path().join("personal.keys")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    assert!(run(&["backup"], &backup, &data).status.success());

    let refused = |named: &str| {
        let target = DataFolder::new();
        let output = run(&["restore"], &backup, &target);
        assert!(!output.status.success(), "{named}");
        assert!(said(&output).contains(named), "{named}: {}", said(&output));
        assert!(!target.path().join("log").exists(), "{named}");
    };
    let files = files_of(&backup);
    assert_eq!(files.len(), 4, "a segment of each log, the keys, the manifest: {files:?}");
    for file in &files {
        let whole = fs::read(file).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 0x80;
        fs::write(file, &flipped).unwrap();
        refused(name);
        fs::write(file, &whole[..whole.len() - 1]).unwrap();
        refused(name);
        fs::remove_file(file).unwrap();
        refused(if name == "manifest.json" { "manifest" } else { name });
        fs::write(file, &whole).unwrap();
    }
    let stranger = backup.join("copy-1/log/clicks/00000000000000000099.seg");
    fs::write(&stranger, "x").unwrap();
    refused("00000000000000000099.seg");
    fs::remove_file(&stranger).unwrap();
    let target = DataFolder::new();
    assert!(run(&["restore"], &backup, &target).status.success());
    let output = run(&["restore"], &backup, &target);
    assert!(!output.status.success() && said(&output).contains("already exists"));
}

/// The keys of personal data are in a backup, and none other; older backups have no such file.
#[test]
fn personal_data_is_readable_after_a_restore() {
    let server = Options::links_only().start();
    let data = server.data.clone();
    assert!(server.stop().success());
    let (file, user) = ("personal.keys", Uuid::from_u128(7));
    let keys = PersonalData::open(&data.path().join(file)).unwrap();
    keys.create_key(user).unwrap();
    let sealed = keys.seal(user, "email", "ada@example.com").unwrap();
    fs::write(data.path().join("jwt.keys"), "{}").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    assert!(run(&["backup"], &backup, &data).status.success());
    assert!(!files_of(&backup).iter().any(|file| file.ends_with("jwt.keys")));
    keys.destroy_key(user).unwrap();

    let restored = DataFolder::new();
    let output = run(&["restore"], &backup, &restored);
    assert!(output.status.success(), "{}", said(&output));
    let keys = PersonalData::open(&restored.path().join(file)).unwrap();
    assert_eq!(keys.open_sealed(user, "email", &sealed).as_deref(), Some("ada@example.com"));

    // Keys without a log are those of a log that was moved away.
    fs::remove_dir_all(restored.path().join("log")).unwrap();
    let output = run(&["restore"], &backup, &restored);
    assert!(!output.status.success() && said(&output).contains(file), "{}", said(&output));
    // An interrupted restore is repeated.
    fs::create_dir(restored.path().join("log.restoring")).unwrap();
    assert!(run(&["restore"], &backup, &restored).status.success());

    let manifest = backup.join("manifest.json");
    let mut older: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    older["files"].as_array_mut().unwrap().retain(|copied| copied["path"] != file);
    fs::write(&manifest, older.to_string()).unwrap();
    fs::remove_file(backup.join("copy-1").join(file)).unwrap();
    let restored = DataFolder::new();
    assert!(run(&["restore"], &backup, &restored).status.success());
    assert!(!restored.path().join(file).exists());
}

/// A later backup into the same folder adds what is new, and replaces the earlier one.
#[test]
fn a_backup_is_continued() {
    let server = Options::links_only().start();
    let data = server.data.clone();
    let link = server.link();
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    assert!(run(&["backup"], &backup, &data).status.success());
    server.visit(&link).send().expect(302);
    eventually("the click is in the log", || (!data.logged_clicks().is_empty()).then_some(()));
    // Interrupted, it leaves a folder that does not count.
    fs::create_dir_all(backup.join("copy-2/log")).unwrap();
    fs::write(backup.join("copy-2/log/left-over"), "").unwrap();
    let again = run(&["backup"], &backup, &data);
    assert!(again.status.success(), "{}", said(&again));
    // The mutations and the keys have not changed.
    assert!(said(&again).contains("in 2 files were there already"), "{}", said(&again));
    let restored = DataFolder::new();
    let output = run(&["restore"], &backup, &restored);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(restored.dump("clicks"), data.dump("clicks"));
    assert_eq!(restored.dump("mutations"), data.dump("mutations"));
    let other = Options::links_only().start();
    let foreign = run(&["backup"], &backup, &other.data);
    assert!(said(&foreign).contains("another data folder"), "{}", said(&foreign));
    let output = run(&["restore"], &backup, &DataFolder::new());
    assert!(output.status.success(), "it is still there: {}", said(&output));
}
