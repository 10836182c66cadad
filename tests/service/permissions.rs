//! Files are private to the service's user, regardless of the umask.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::Method;
use serde_json::json;

use crate::harness::{
    Answer, DataFolder, Options, Server, TOKEN, after_setting, eventually, slugline,
};

/// A folder and everything below it, without symbolic links.
fn tree(path: &Path) -> Vec<PathBuf> {
    // ClickHouse removes files meanwhile.
    let Ok(metadata) = fs::symlink_metadata(path) else { return Vec::new() };
    if metadata.is_symlink() {
        return Vec::new();
    }
    let mut found = vec![path.to_owned()];
    if metadata.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
        found.extend(entries.flat_map(|entry| tree(&entry.path())));
    }
    found
}

/// Entries that are open to other users.
fn open_to_others(path: &Path) -> Vec<(PathBuf, String)> {
    let entries = tree(path).into_iter().filter_map(|path| {
        let mode = fs::symlink_metadata(&path).ok()?.mode() & 0o7777;
        (mode & 0o077 != 0).then(|| (path, format!("{mode:o}")))
    });
    entries.collect()
}

#[track_caller]
fn run(umask: &str, command: &mut Command) {
    let output = after_setting(&format!("umask {umask}"), command).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Has the service write files of each kind.
fn write_everything(server: &Server) {
    server.await_analytics();
    let link = server.link();
    server.visit(&link).send().expect(302);
    server.await_clicks(&link, 1);
    let limited =
        server.api().create(&json!({ "destination": "https://a.example", "max_clicks": 5 }));
    server.visit(&limited).send().expect(302);
    let file = "slug,destination\nimported,https://example.com\nbad,nowhere\n";
    let import = server.api().request(Method::POST, "/imports?format=csv").body(file);
    let import = Answer::to(import).expect(202).data();
    let export = server.api().post("/exports", &json!({ "format": "csv" })).expect(202).data();
    for (noun, job) in [("imports", import), ("exports", export)] {
        let path = format!("/{noun}/{}", job["id"].as_str().unwrap());
        eventually("the job is done", || {
            (server.api().get(&path).data()["state"] == "done").then_some(())
        });
    }
}

#[test]
fn new_files_are_closed_to_other_users() {
    for umask in ["000", "022"] {
        let server = Options::new().umask(umask).start();
        write_everything(&server);
        let data = server.data.path();
        assert!(tree(&data).len() > 30);
        assert_eq!(open_to_others(&data), []);

        let folder = tempfile::tempdir().unwrap();
        let [backup, existing, restored, file] =
            ["backup", "existing", "restored", "links.csv"].map(|name| folder.path().join(name));
        fs::create_dir(&existing).unwrap();
        fs::set_permissions(&existing, Permissions::from_mode(0o755)).unwrap();
        for target in [&backup, &existing] {
            run(umask, slugline().arg("backup").arg(target).arg("--data-dir").arg(&data));
        }
        run(umask, slugline().arg("restore").arg(&backup).arg("--data-dir").arg(&restored));
        let export = ["export", "--url", &server.base, "--token", TOKEN, "--output"];
        run(umask, slugline().args(export).arg(&file));
        for path in [&backup, &existing, &restored, &file] {
            assert_eq!(open_to_others(path), []);
        }
    }
}

#[test]
fn existing_files_are_closed_at_the_start() {
    let data = DataFolder::new();
    let server = Options::links_only().with_data(&data).start();
    server.link();
    assert!(server.stop().success());
    for path in tree(&data.path()) {
        let mode = if path.is_dir() { 0o777 } else { 0o666 };
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::set_permissions(outside.path(), Permissions::from_mode(0o644)).unwrap();
    symlink(outside.path(), data.path().join("link")).unwrap();
    let server = Options::links_only().with_data(&data).umask("000").start();
    assert_eq!(open_to_others(&data.path()), []);
    assert_eq!(fs::metadata(outside.path()).unwrap().mode() & 0o777, 0o644);
    assert!(server.stop().success());
}
