//! Source rules as tests: module dependencies, lengths of files and functions, and where SQL may
//! be, and which entries the top level may have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

/// Room → the rooms that it may use, besides `limits` and `metrics`. `app`, `cli` and `main` may use all.
const MAY_USE: &[(&str, &[&str])] = &[
    ("build", &[]),
    ("domain", &[]),
    ("engine", &[]),
    ("sst", &[]),
    ("limits", &[]),
    ("metrics", &[]),
    ("log", &["domain"]),
    ("clicks", &["domain", "log"]),
    ("identity", &["domain", "log::replace_file", "log::thread_pool"]),
    ("projections", &["domain", "log", "sst"]),
    ("effects", &["domain", "log"]),
    ("commands", &["domain", "identity", "log", "projections::index"]),
    ("qr", &["domain", "log::thread_pool"]),
    ("queries", &["domain", "log::replace_file", "projections"]),
    ("jobs", &["domain", "commands", "queries", "log", "qr"]),
    ("http", &["domain", "identity", "commands", "queries", "jobs", "clicks", "qr"]),
    (
        "config",
        &[
            "clicks",
            "commands",
            "domain::nearest",
            "effects",
            "http",
            "identity",
            "projections::clickhouse",
        ],
    ),
];

const MAX_FILE_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 70;

/// What may stand at the top beside dotfiles.
const TOP: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "bench",
    "ops",
    "schema",
    "src",
    "tests",
];

struct Source {
    /// Below the repository's root, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// `src/http/native/links.rs` → `http`.
    fn room(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inside.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// The lines before the file's unit tests.
    fn shipped(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod tests {").next().unwrap()
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let mut sources = Vec::new();
    for folder in folders {
        collect(&root().join(folder), &mut sources);
    }
    assert!(!sources.is_empty());
    sources
}

fn collect(folder: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            sources.push(Source { path, text });
        }
    }
}

/// The crate's own paths that a line names: `crate::log::Log` → `log::Log`.
fn crate_paths(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap();
    let ends = |letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == ':');
    code.split("crate::").skip(1).map(move |path| path.split(ends).next().unwrap())
}

#[test]
fn rooms_use_only_the_rooms_that_they_may() {
    let mut wrong = Vec::new();
    for source in sources(&["src"]) {
        let room = source.room();
        if matches!(room, "app" | "cli" | "main" | "lib") {
            continue;
        }
        let (_, may_use) = MAY_USE
            .iter()
            .find(|(name, _)| *name == room)
            .unwrap_or_else(|| panic!("{} is in no room of the table", source.path));
        for (at, line) in source.text.lines().enumerate() {
            for path in crate_paths(line) {
                let used = path.split("::").next().unwrap();
                let is_shared = matches!(used, "limits" | "metrics");
                let allowed =
                    used == room || is_shared || may_use.iter().any(|may| path.starts_with(may));
                if !allowed {
                    wrong.push(format!("{}:{}: {room} may not use {path}", source.path, at + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn http_names_neither_the_stores_nor_the_log() {
    for source in sources(&["src/http"]) {
        for named in ["sled::", "clickhouse::", "crate::log", "crate::projections"] {
            assert!(!source.text.contains(named), "{} names {named}", source.path);
        }
    }
}

#[test]
fn the_map_shows_each_room() {
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let rooms: Vec<_> = map.lines().filter_map(|line| line.strip_prefix("pub mod ")).collect();
    assert!(rooms.len() > 8);
    for room in rooms {
        let room = room.trim_end_matches(';');
        assert!(map.contains(&format!("//! | [`{room}`] |")), "{room} is not on the map");
    }
}

#[test]
fn files_and_functions_are_of_a_length_that_can_be_read() {
    let mut long = Vec::new();
    for source in sources(&["src", "tests", "bench"]) {
        let lines: Vec<_> = source.text.lines().collect();
        if lines.len() > MAX_FILE_LINES {
            long.push(format!("{}: {} lines", source.path, lines.len()));
        }
        for (at, line) in lines.iter().enumerate() {
            let Some(length) = function_length(line, &lines[at..]) else { continue };
            if length > MAX_FUNCTION_LINES {
                long.push(format!("{}:{}: {length} lines", source.path, at + 1));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// How long the function is that begins in `line`: up to the brace at the same indentation.
fn function_length(line: &str, from_here: &[&str]) -> Option<usize> {
    let code = line.trim_start();
    let words = ["fn ", "pub fn ", "async fn ", "pub async fn ", "const fn ", "pub const fn "];
    let begins = code.starts_with("pub(") || words.iter().any(|word| code.starts_with(word));
    if !begins || !code.contains("fn ") || code.ends_with(';') {
        return None;
    }
    let closing = format!("{}}}", &line[..line.len() - code.len()]);
    from_here.iter().position(|line| *line == closing).map(|end| end + 1)
}

#[test]
fn sql_stands_in_its_rooms() {
    let at_home = ["src/queries/sql", "src/projections/clickhouse/", "src/engine/"];
    for source in sources(&["src"]) {
        if at_home.iter().any(|home| source.path.starts_with(home)) {
            continue;
        }
        for statement in ["SELECT ", "INSERT INTO ", "CREATE TABLE ", "ALTER TABLE "] {
            assert!(!source.text.contains(statement), "{} holds {statement}", source.path);
        }
    }
}

#[test]
fn metrics_are_declared_in_their_file() {
    for source in sources(&["src"]) {
        let is_declaration = source.path == "src/metrics.rs";
        assert!(is_declaration || !source.text.contains("\"slugline_"), "{}", source.path);
        for emitted in ["counter!(\"", "gauge!(\"", "histogram!(\""] {
            assert!(!source.text.contains(emitted), "{} names a metric itself", source.path);
        }
    }
}

#[test]
fn nothing_is_left_to_do() {
    for source in sources(&["src", "bench"]) {
        for mark in ["todo!(", "unimplemented!(", "dbg!(", "FIXME", "TODO"] {
            assert!(!source.text.contains(mark), "{} holds {mark}", source.path);
        }
    }
}

#[test]
fn unsafe_code_stands_at_the_engines_door_only() {
    for source in sources(&["src"]) {
        let is_door = source.path == "src/engine/library.rs";
        assert!(is_door || !source.shipped().contains("unsafe {"), "{}", source.path);
    }
}

#[test]
fn the_top_level_holds_what_it_may() {
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        // What is built and what is served: both are ignored by git.
        let is_ignored = matches!(name.as_str(), "target" | "data");
        let is_known = is_ignored || name.starts_with('.') || TOP.contains(&name.as_str());
        assert!(is_known, "{name} stands at the top level");
    }
}
