//! The documentation: replays the tours of the README and the guides, and checks the paths,
//! settings and files that they name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;
use tokio_rustls::rustls;

const TOKEN: &str = "the-tour-of-the-readme";
const SHOWN_ADDRESS: &str = "localhost:8080";
/// The length of the README and of a guide, at most.
const MAX_LINES: usize = 150;

/// The guides, in the order in which their commands are replayed: later ones use the links of
/// earlier ones.
const GUIDES: &[(&str, &str)] = &[
    ("quick-start", include_str!("../src/http/guides/quick-start.md")),
    ("links", include_str!("../src/http/guides/links.md")),
    ("redirects", include_str!("../src/http/guides/redirects.md")),
    ("qr-codes", include_str!("../src/http/guides/qr-codes.md")),
    ("domains", include_str!("../src/http/guides/domains.md")),
    ("analytics", include_str!("../src/http/guides/analytics.md")),
    ("clicks", include_str!("../src/http/guides/clicks.md")),
    ("bulk", include_str!("../src/http/guides/bulk.md")),
    ("command-line", include_str!("../src/http/guides/command-line.md")),
    ("history", include_str!("../src/http/guides/history.md")),
    ("accounts", include_str!("../src/http/guides/accounts.md")),
    ("tokens", include_str!("../src/http/guides/tokens.md")),
    ("plans", PLANS),
    ("compatibility", include_str!("../src/http/guides/compatibility.md")),
    ("pages", include_str!("../src/http/guides/pages.md")),
    ("operation", OPERATION),
];
const README: &str = include_str!("../README.md");
/// Replayed with a service of its own, which has the catalogue of the guide.
const PLANS: &str = include_str!("../src/http/guides/plans.md");
const OPERATION: &str = include_str!("../ops/README.md");

/// A command of a tour, and the output that the document shows, if any.
struct Step {
    command: String,
    output: String,
}

/// The commands between a document's tour marks, in order.
fn tour(document: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for tour in document.split("<!-- tour -->").skip(1) {
        let tour = tour.split("<!-- /tour -->").next().unwrap();
        for block in tour.split("```console\n").skip(1) {
            let mut shown: Vec<Step> = Vec::new();
            for line in block.split("```").next().unwrap().lines() {
                if let Some(command) = line.strip_prefix("$ ") {
                    shown.push(Step { command: command.to_owned(), output: String::new() });
                } else {
                    let output = &mut shown.last_mut().expect("output follows a command").output;
                    output.push_str(line);
                    output.push('\n');
                }
            }
            steps.extend(shown);
        }
    }
    steps
}

/// Replaces everything that differs from run to run.
fn without_chance(text: &str) -> String {
    let chances = [
        (r"(grant|link|ws)_[0-9a-z]{26}", "ID"),
        (r#""lag_ms":\d+"#, "LAG"),
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "REQUEST"),
        (r"(?m)^date: .*$", "DATE"),
        (r"\d{4}-\d{2}(-\d{2}(T[0-9:.]+Z)?)?", "TIME"),
    ];
    let text = text.replace('\r', "");
    let text = chances.iter().fold(text, |text, (pattern, name)| {
        Regex::new(pattern).unwrap().replace_all(&text, *name).into_owned()
    });
    text.trim().to_owned()
}

/// Ended with the test, however that ends.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// slugline as started in the tour, except for the port; ready.
fn start(data: &std::path::Path, flags: &[&str]) -> (Service, String) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let service = Command::new(env!("CARGO_BIN_EXE_slugline"))
        .args(["serve", "--trusted-proxies", "127.0.0.1", "--listen", &free.to_string()])
        .args(["--public-url", "http://127.0.0.1:8080", "--data-dir"])
        .arg(data)
        .args(flags)
        .env("SLUGLINE_BOOTSTRAP_TOKEN", TOKEN)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let service = Service(service);
    let _set_already = rustls::crypto::ring::default_provider().install_default();
    // The first start on a machine fetches the engine.
    let deadline = Instant::now() + Duration::from_secs(600);
    let is_up = || {
        let ready = reqwest::blocking::get(format!("http://{free}/readyz"));
        let state = ready.ok().and_then(|answer| answer.json::<serde_json::Value>().ok());
        state.is_some_and(|state| state["projections"]["clickhouse"]["state"] == "up")
    };
    while !is_up() {
        assert!(Instant::now() < deadline, "slugline was not ready in time");
        std::thread::sleep(Duration::from_millis(50));
    }
    (service, free.to_string())
}

/// How long analytics may take on a busy machine, where the tour pauses for two seconds.
const ANALYTICS: Duration = Duration::from_secs(30);

/// Replays a document's tour in `folder`, with the service at `address`. Where the document shows
/// output, that is what is printed; elsewhere the command has to succeed.
fn replay(name: &str, document: &str, folder: &std::path::Path, address: &str) {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_slugline")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    for Step { command, output } in tour(document) {
        let failing = "curl() { command curl --fail-with-body \"$@\"; }";
        let here = command.replace(SHOWN_ADDRESS, address);
        let script = if output.is_empty() { format!("{failing}; set -e; {here}") } else { here };
        let run = || {
            let mut bash = Command::new("bash");
            bash.args(["-c", &script]).current_dir(folder).env("PATH", &path);
            // The commands find the service by `./data`.
            bash.env("TOKEN", TOKEN).env("SLUGLINE_TOKEN", TOKEN).env_remove("SLUGLINE_URL");
            bash.output().unwrap()
        };
        let mut ran = run();
        let is_shown = |ran: &Output| {
            without_chance(&String::from_utf8_lossy(&ran.stdout)) == without_chance(&output)
        };
        let deadline = Instant::now() + ANALYTICS;
        while output.contains("\"as_of\"") && !is_shown(&ran) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(200));
            ran = run();
        }
        let printed = String::from_utf8_lossy(&ran.stdout);
        if output.is_empty() {
            let errors = String::from_utf8_lossy(&ran.stderr);
            assert!(ran.status.success(), "{name}: {command}\n{printed}{errors}");
        } else {
            assert_eq!(without_chance(&printed), without_chance(&output), "{name}: {command}");
        }
    }
}

#[test]
fn the_tour_shows_what_happens() {
    let folder = tempfile::tempdir().unwrap();
    let (_service, address) = start(&folder.path().join("data"), &[]);
    assert!(tour(README).len() > 3, "the tour was not found");
    replay("README", README, folder.path(), &address);
}

#[test]
fn the_commands_of_the_guides_work_and_their_paths_exist() {
    let folder = tempfile::tempdir().unwrap();
    let (_service, address) = start(&folder.path().join("data"), &[]);
    let document = reqwest::blocking::get(format!("http://{address}/api/v1/openapi.json"));
    let document: serde_json::Value = document.unwrap().json().unwrap();
    for (name, guide) in GUIDES.iter().chain([&("README", README)]) {
        let is_short = guide.lines().count() <= MAX_LINES;
        assert!(is_short || *name == "operation", "{name} is longer than {MAX_LINES} lines");
        for (method, path) in operations(guide) {
            assert!(is_documented(&document, &method, &path), "{name}: {method} {path}");
        }
    }
    assert!(tour(GUIDES[0].1).len() > 8, "the tour was not found");
    for (name, guide) in GUIDES.iter().filter(|(_, guide)| *guide != PLANS) {
        replay(name, guide, folder.path(), &address);
    }
}

#[test]
fn the_guide_to_plans_shows_what_its_catalogue_allows() {
    let folder = tempfile::tempdir().unwrap();
    let catalogue = PLANS.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let file = folder.path().join("plans.toml");
    std::fs::write(&file, catalogue).unwrap();
    let flags = ["--plans", file.to_str().unwrap()];
    let (_service, address) = start(&folder.path().join("data"), &flags);
    assert!(tour(PLANS).len() > 8, "the tour was not found");
    replay("plans", PLANS, folder.path(), &address);
}

/// The API operations that a document names: `GET /links/{link}`, below `/api/v1`.
fn operations(document: &str) -> Vec<(String, String)> {
    let named = Regex::new(r"`(GET|PUT|POST|PATCH|DELETE) (/[^`?\s]+)").unwrap();
    let called = Regex::new(r"localhost:8080/api/v1(/[^ '?]+)").unwrap();
    let named =
        named.captures_iter(document).map(|found| (found[1].to_owned(), found[2].to_owned()));
    let called = called.captures_iter(document).map(|found| (String::new(), found[1].to_owned()));
    named.chain(called).collect()
}

/// Whether OpenAPI knows an operation; any method will do where none is given. A `{parameter}` of
/// a path stands for any segment.
fn is_documented(document: &serde_json::Value, method: &str, path: &str) -> bool {
    let path: Vec<_> = path.trim_start_matches("/api/v1").split('/').collect();
    let fits = |template: &str| {
        let template: Vec<_> = template.split('/').collect();
        let is_same = |(known, named): (&&str, &&str)| known == named || known.starts_with('{');
        template.len() == path.len() && template.iter().zip(&path).all(is_same)
    };
    let mut paths = document["paths"].as_object().unwrap().iter();
    paths.any(|(template, methods)| {
        fits(template) && (method.is_empty() || methods.get(method.to_lowercase()).is_some())
    })
}

#[test]
fn the_settings_table_names_each_setting() {
    let help = Command::new(env!("CARGO_BIN_EXE_slugline")).args(["serve", "--help"]).output();
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    let flags: Vec<_> =
        Regex::new(r"(?m)^ +--([a-z][a-z-]+)").unwrap().captures_iter(&help).collect();
    assert!(flags.len() > 10);
    for flag in flags.iter().map(|found| &found[1]) {
        let key = flag.replace('-', "_");
        let shown = if flag == "config" { String::new() } else { format!(" `{key}`") };
        let row = format!("| `--{flag}` `SLUGLINE_{}`{shown} | ", key.to_uppercase());
        assert!(OPERATION.contains(&row), "ops/README.md has no row {row}");
        assert!(help.contains(&format!("SLUGLINE_{}", key.to_uppercase())), "{flag}");
    }
}

#[test]
fn local_links_of_the_documents_lead_to_files() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let links = Regex::new(r"\]\(([^)#]+)[^)]*\)").unwrap();
    let mut documents = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    for folder in ["ops", "bench", "tests", "schema", "src/http/guides"] {
        let files = std::fs::read_dir(root.join(folder)).unwrap().map(|file| file.unwrap().path());
        documents.extend(files.filter(|file| file.extension().is_some_and(|end| end == "md")));
    }
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        for link in links.captures_iter(&text).map(|found| found[1].to_owned()) {
            let is_there = link.contains("://") || document.parent().unwrap().join(&link).exists();
            assert!(is_there, "{} links to {link}", document.display());
        }
    }
}

#[test]
fn metrics_in_documents_exist() {
    let guides = GUIDES.iter().map(|(_, guide)| *guide);
    let metric = Regex::new(r"\bslugline_[a-z_]+").unwrap();
    let named: Vec<_> = guides.flat_map(|text| metric.find_iter(text)).collect();
    assert!(named.len() > 20);
    let known: Vec<_> = slugline::metrics::ALL.iter().map(|metric| metric.name).collect();
    for name in named.iter().map(regex::Match::as_str) {
        assert!(known.contains(&name), "no metric is called {name}");
    }
    for name in known {
        assert!(OPERATION.contains(&format!("`{name}`")), "ops/README.md does not explain {name}");
    }
}
