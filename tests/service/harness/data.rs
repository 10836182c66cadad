//! A data folder and its command-line tools.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;
use slugline::log::{DiskStorage, LocalLog, Log, LogOptions, LogView, NewRecord};
use tempfile::TempDir;

/// The program, in an environment without settings of whoever runs the tests. With
/// `SLUGLINE_TEST_BINARY` it is another build's.
pub fn slugline() -> Command {
    let other = std::env::var_os("SLUGLINE_TEST_BINARY");
    let mut command = Command::new(other.unwrap_or(env!("CARGO_BIN_EXE_slugline").into()));
    let settings = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("SLUGLINE_") && name != "SLUGLINE_CACHE_DIR"
    });
    for name in settings {
        command.env_remove(name);
    }
    command
}

/// A folder of data that goes when the last one who knows of it does; it stays, and is named,
/// when a test fails.
#[derive(Clone)]
pub struct DataFolder(Arc<Folder>);

struct Folder {
    path: PathBuf,
    /// The folder to remove on drop; `None` for a folder created elsewhere.
    made: Option<TempDir>,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.made.take()
        {
            eprintln!("the data folder is kept: {}", folder.keep().display());
        }
    }
}

impl DataFolder {
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("slugline-test-").tempdir().unwrap();
        let path = folder.path().join("data");
        Self(Arc::new(Folder { path, made: Some(folder) }))
    }

    /// A folder that stays.
    pub fn at(path: &Path) -> Self {
        Self(Arc::new(Folder { path: path.to_owned(), made: None }))
    }

    /// The folder itself, which the first start makes.
    pub fn path(&self) -> PathBuf {
        self.0.path.clone()
    }

    /// Renumbers the clicks of a stopped service from an offset on, as if it had dropped others
    /// before. Removes ClickHouse's data: the next start fills it from the log.
    pub fn renumber_clicks(&self, first: u64) {
        let folder = self.path().join("log/clicks");
        let view = LogView::open(Arc::new(DiskStorage), &folder).unwrap();
        let mut reader = view.read_from(0);
        let records: Vec<_> = std::iter::from_fn(|| reader.next_record().unwrap()).collect();
        let id = view.id.unwrap();
        fs::remove_dir_all(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        let offset_file = |magic: &[u8; 8]| {
            let mut bytes = [magic.as_slice(), &id, &first.to_le_bytes()].concat();
            bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
            bytes
        };
        fs::write(folder.join("first"), offset_file(b"SLUGFRST")).unwrap();
        fs::write(folder.join(format!("{first:020}.seg")), offset_file(b"SLUGLOG1")).unwrap();
        let log = LocalLog::open(Arc::new(DiskStorage), &folder, LogOptions::default()).unwrap();
        for record in &records {
            let (kind, version, payload) = (record.kind, record.version, &*record.payload);
            log.append(&[NewRecord { kind, version, payload }]).unwrap();
        }
        log.sync().unwrap();
        fs::remove_dir_all(self.path().join("clickhouse")).unwrap();
        for file in ["clickhouse.plan", "clicks.tally"] {
            let _not_there = fs::remove_file(self.path().join(file));
        }
    }

    /// `slugline log …` over this folder.
    pub fn log_command(&self, arguments: &[&str]) -> Output {
        slugline().arg("log").args(arguments).arg("--data-dir").arg(self.path()).output().unwrap()
    }

    /// `slugline log dump`: each record of a log (`clicks` or `mutations`).
    #[track_caller]
    pub fn dump(&self, log: &str) -> Vec<Value> {
        let dump = self.log_command(&["dump", log]);
        assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
        let text = String::from_utf8(dump.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The clicks in the log, without the user agents.
    #[track_caller]
    pub fn logged_clicks(&self) -> Vec<Value> {
        let records = self.dump("clicks").into_iter();
        records.filter(|record| record["kind"] == "Click").collect()
    }

    /// The clicks of one link that are in the log.
    #[track_caller]
    pub fn logged_clicks_of(&self, link: &super::Link) -> Vec<Value> {
        self.logged_clicks().into_iter().filter(|click| click["link"] == link.id.as_str()).collect()
    }

    /// The last segment file of a log.
    pub fn last_segment(&self, log: &str) -> PathBuf {
        let folder = self.path().join("log").join(log);
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|ending| ending == "seg")).max().unwrap()
    }

    /// Each file of the folder, with its bytes.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        collect(&self.path(), &mut files);
        assert!(!files.is_empty());
        files
    }
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            let bytes = fs::read(&path).unwrap();
            files.push((path, bytes));
        }
    }
}
