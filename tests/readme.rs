//! The README's tour, replayed word for word: what it shows is what happens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;

const TOKEN: &str = "the-tour-of-the-readme";
const SHOWN_ADDRESS: &str = "localhost:8080";

/// A command of the tour, and what it is said to print.
struct Step {
    command: String,
    output: String,
}

/// The commands between the tour's marks, in order.
fn tour() -> Vec<Step> {
    let readme = include_str!("../README.md");
    let tour = readme.split("<!-- tour -->").nth(1).unwrap();
    let tour = tour.split("<!-- /tour -->").next().unwrap();
    let mut steps: Vec<Step> = Vec::new();
    for block in tour.split("```console\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                steps.push(Step { command: command.to_owned(), output: String::new() });
            } else {
                let output = &mut steps.last_mut().expect("output follows a command").output;
                output.push_str(line);
                output.push('\n');
            }
        }
    }
    steps
}

/// What differs from run to run, made equal.
fn without_chance(text: &str) -> String {
    let chances = [
        (r"(link|ws)_[0-9a-z]{26}", "ID"),
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

/// slugline as the tour starts it, but for the port; ready.
fn start(data: &std::path::Path) -> (Service, String) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let service = Command::new(env!("CARGO_BIN_EXE_slugline"))
        .args(["serve", "--trusted-proxies", "127.0.0.1", "--listen", &free.to_string()])
        .args(["--public-url", "http://127.0.0.1:8080", "--data-dir"])
        .arg(data)
        .env("SLUGLINE_BOOTSTRAP_TOKEN", TOKEN)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let service = Service(service);
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

#[test]
fn the_tour_shows_what_happens() {
    let data = tempfile::tempdir().unwrap();
    let (_service, address) = start(data.path());
    let steps = tour();
    assert!(steps.len() > 8, "the tour was not found");
    for Step { command, output } in steps {
        let ran = Command::new("bash")
            .args(["-c", &command.replace(SHOWN_ADDRESS, &address)])
            .env("TOKEN", TOKEN)
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&ran.stdout);
        assert_eq!(without_chance(&printed), without_chance(&output), "{command}");
    }
}

#[test]
fn the_readme_names_each_setting() {
    let help = Command::new(env!("CARGO_BIN_EXE_slugline")).args(["serve", "--help"]).output();
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    let readme = include_str!("../README.md");
    let flags: Vec<_> = Regex::new(r"--[a-z][a-z-]+").unwrap().find_iter(&help).collect();
    assert!(flags.len() > 10);
    for flag in flags.iter().map(regex::Match::as_str).filter(|flag| *flag != "--help") {
        assert!(readme.contains(flag), "the README does not name {flag}");
    }
}
