//! The files of `ops/`: what they name exists.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use regex::Regex;
use slugline::config::ServeArgs;
use slugline::metrics::{ALL, Kind};

const EXAMPLE: &str = include_str!("../ops/slugline.example.toml");

/// Variables that are no settings.
const OTHER_VARIABLES: &[&str] = &["SLUGLINE_CACHE_DIR", "SLUGLINE_COMMIT"];

/// The text of a file, or of all files, of `ops/`; documents excepted.
fn files() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files =
        files.filter(|path| path.is_file() && path.extension().is_none_or(|end| end != "md"));
    let files: Vec<_> = files
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    assert!(files.len() > 10);
    files
}

fn help(command: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_slugline")).args([command, "--help"]).output();
    let output = output.unwrap();
    assert!(output.status.success(), "there is no `slugline {command}`");
    String::from_utf8(output.stdout).unwrap()
}

/// The keys of all settings, by the flags of `slugline serve`.
fn settings() -> BTreeSet<String> {
    let help = help("serve");
    let flags = Regex::new(r"(?m)^ +--([a-z][a-z-]+)").unwrap();
    let keys = flags.captures_iter(&help).map(|found| found[1].replace('-', "_"));
    keys.filter(|key| key != "config").collect()
}

#[test]
fn the_example_has_each_setting_with_a_valid_value() {
    let line = Regex::new(r"(?m)^# ([a-z_]+ = .+)$").unwrap();
    let lines: Vec<_> =
        line.captures_iter(EXAMPLE).map(|found| found.get(1).unwrap().as_str()).collect();
    let table: toml::Table = lines.join("\n").parse().unwrap();
    assert_eq!(table.keys().cloned().collect::<BTreeSet<_>>(), settings());
    for line in lines {
        let given: ServeArgs = toml::from_str(line).unwrap();
        if let Err(error) = given.settings() {
            // Some are of use with others only.
            let error = format!("{error:#}");
            let is_incomplete = error.contains("require") || error.contains("tls-key");
            assert!(is_incomplete, "{line}: {error}");
        }
    }
    let nothing: toml::Table = EXAMPLE.parse().unwrap();
    assert!(nothing.is_empty(), "an example changes nothing by itself");
}

#[test]
fn flags_and_variables_of_the_files_exist() {
    let command = Regex::new(r"slugline (serve|fetch|health|backup)\b([^\n`]*)").unwrap();
    let flag = Regex::new(r"--[a-z][a-z-]+").unwrap();
    let variable = Regex::new(r"SLUGLINE_[A-Z_]+[A-Z]").unwrap();
    let keys = settings();
    let mut commands = BTreeSet::new();
    for (name, text) in files() {
        for found in command.captures_iter(&text) {
            let help = help(&found[1]);
            for flag in flag.find_iter(&found[2]) {
                assert!(help.contains(flag.as_str()), "{name}: {} {}", &found[1], flag.as_str());
            }
            commands.insert(found[1].to_owned());
        }
        for found in variable.find_iter(&text).map(|found| &text[found.range()]) {
            let key = found.trim_start_matches("SLUGLINE_").to_lowercase();
            assert!(keys.contains(&key) || OTHER_VARIABLES.contains(&found), "{name}: {found}");
        }
    }
    assert!(commands.len() > 1, "{commands:?}");
}

#[test]
fn metrics_of_the_alerts_and_the_dashboard_exist() {
    let metric = Regex::new(r"\b(?:slugline|process)_[a-z_]+").unwrap();
    for file in ["alerts.yml", "grafana.json"] {
        let (_, text) = files().into_iter().find(|(name, _)| name == file).unwrap();
        let names: BTreeSet<_> =
            metric.find_iter(&text).map(|found| &text[found.range()]).collect();
        assert!(names.len() > 10, "{file}: {names:?}");
        for name in names {
            let is_named = ALL.iter().any(|metric| match name.strip_suffix("_bucket") {
                Some(histogram) => metric.kind == Kind::Histogram && metric.name == histogram,
                None => metric.kind != Kind::Histogram && metric.name == name,
            });
            assert!(is_named, "{file} names {name}");
        }
    }
}

#[test]
fn the_dashboard_has_panels_with_queries() {
    let (_, text) = files().into_iter().find(|(name, _)| name == "grafana.json").unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{panel}");
        for target in targets {
            let query = target["expr"].as_str().unwrap();
            assert!(query.contains(r#"job="$job""#), "of all jobs: {query}");
        }
    }
}
