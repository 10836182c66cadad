//! Tells the program which commit it is built from: `SLUGLINE_COMMIT`, or that of the repository.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=SLUGLINE_COMMIT");
    println!("cargo:rerun-if-changed=src/build.rs");
    let commit = std::env::var("SLUGLINE_COMMIT").ok().filter(|commit| !commit.is_empty());
    // Otherwise each commit would compile everything again while somebody works on it.
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = commit.or_else(|| is_release.then(commit_of_repository).flatten());
    println!("cargo:rustc-env=SLUGLINE_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
}

/// The commit of the repository; `None` without git.
fn commit_of_repository() -> Option<String> {
    // A file that is missing would make each build run this again.
    let history = ".git/logs/HEAD";
    if std::path::Path::new(history).exists() {
        println!("cargo:rerun-if-changed={history}");
    }
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !commit.is_empty()).then_some(commit)
}
