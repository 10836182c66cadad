//! Runs npm: looks up a package's integrity, and packs it into a tarball.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::error::FetchError;
use super::package::Package;
use super::progress::Reporter;

/// The timeout for looking up a package.
const VIEW_LIMIT: Duration = Duration::from_secs(2 * 60);
/// The timeout for fetching a tarball.
const PACK_LIMIT: Duration = Duration::from_secs(15 * 60);
/// How often to check whether npm has exited.
const POLL: Duration = Duration::from_millis(50);
/// The number of npm's last lines in an error.
const LAST_LINES: usize = 12;

/// The npm program.
#[derive(Debug, Clone)]
pub(super) struct Npm {
    program: OsString,
    pack_limit: Duration,
}

/// The registry's data about one version of a package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Published {
    /// The version.
    pub(super) version: String,
    /// The tarball's integrity.
    #[serde(rename = "dist.integrity")]
    pub(super) integrity: String,
}

/// npm prints one object for one matching version, a list for several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    One(Published),
    Many(Vec<Published>),
}

impl Default for Npm {
    fn default() -> Self {
        Self { program: "npm".into(), pack_limit: PACK_LIMIT }
    }
}

impl Npm {
    /// Another program in npm's place.
    #[cfg(test)]
    pub(super) fn at(program: &Path, pack_limit: Duration) -> Self {
        Self { program: program.into(), pack_limit }
    }

    /// The highest published version that matches the package.
    pub(super) fn view(
        &self,
        package: &Package,
        work: &Path,
        reporter: &mut Reporter,
    ) -> Result<Published, FetchError> {
        let spec = package.spec();
        let arguments = ["view", &spec, "dist.integrity", "version", "--json"].map(OsStr::new);
        let answer = self.run(package, work, &arguments, VIEW_LIMIT, reporter)?;
        highest(&answer).map_err(|problem| FetchError::Answer {
            package: package.name,
            problem,
            hint: package.hint,
        })
    }

    /// Fetches this version's tarball into the folder `work`. Returns its path.
    pub(super) fn pack(
        &self,
        package: &Package,
        version: &str,
        work: &Path,
        reporter: &mut Reporter,
    ) -> Result<PathBuf, FetchError> {
        let to = work.join("packed");
        fs::create_dir(&to).map_err(FetchError::cache(&to))?;
        let spec = format!("{}@{version}", package.name);
        let arguments = [
            OsStr::new("pack"),
            OsStr::new(&spec),
            OsStr::new("--pack-destination"),
            to.as_os_str(),
            OsStr::new("--ignore-scripts"),
        ];
        self.run(package, work, &arguments, self.pack_limit, reporter)?;
        // The folder is new: the one tarball in it is the package, whatever its name.
        let packed = fs::read_dir(&to)
            .map_err(FetchError::cache(&to))?
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|ending| ending == "tgz"));
        packed.ok_or_else(|| FetchError::Answer {
            package: package.name,
            problem: "no tarball was packed".to_owned(),
            hint: package.hint,
        })
    }

    /// Runs npm to completion or to the time limit. Returns its standard output.
    ///
    /// The output goes to files, so that nothing has to read it while npm runs.
    fn run(
        &self,
        package: &Package,
        work: &Path,
        arguments: &[&OsStr],
        limit: Duration,
        reporter: &mut Reporter,
    ) -> Result<String, FetchError> {
        let (out, err) = (work.join("npm.out"), work.join("npm.err"));
        let mut npm =
            self.spawn(work, arguments, &out, &err).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    FetchError::NoNpm { package: package.name, hint: package.hint }
                }
                _ => FetchError::Cache { path: PathBuf::from(&self.program), source: error },
            })?;
        let status = wait(&mut npm, limit, || {
            reporter.bytes(folder_bytes(&work.join("npm-cache")));
            !reporter.should_stop()
        });
        let status = status.map_err(FetchError::cache(Path::new(&self.program)))?;
        let Some(status) = status else {
            if reporter.should_stop() {
                return Err(FetchError::Stopped { package: package.name });
            }
            let seconds = limit.as_secs();
            return Err(FetchError::Slow { package: package.name, seconds, hint: package.hint });
        };
        let lines = fs::read(&err).map_err(FetchError::cache(&err))?;
        let lines = String::from_utf8_lossy(&lines);
        if status.success() {
            return fs::read_to_string(&out).map_err(FetchError::cache(&out));
        }
        if lines.contains("ENOSPC") {
            return Err(FetchError::NoSpace {
                package: package.name,
                cache: work.to_owned(),
                needs_bytes: package.needs_bytes(),
            });
        }
        let (cause, lines) = (cause(&lines), last_lines(&lines));
        Err(FetchError::Npm { package: package.name, cause, lines, hint: package.hint })
    }

    /// Starts npm with its own cache in `work`, which is removed with the folder.
    fn spawn(
        &self,
        work: &Path,
        arguments: &[&OsStr],
        out: &Path,
        err: &Path,
    ) -> io::Result<Child> {
        Command::new(&self.program)
            .args(arguments)
            .arg("--cache")
            .arg(work.join("npm-cache"))
            .args(["--loglevel=error", "--logs-max=0", "--no-update-notifier", "--no-progress"])
            // npm's own retries take more than a minute, in which nobody sees what is wrong.
            .args(["--fetch-retries=1", "--fetch-retry-mintimeout=500"])
            .arg("--fetch-retry-maxtimeout=500")
            // A package.json in the current folder must not affect npm.
            .current_dir(work)
            .stdin(Stdio::null())
            .stdout(File::create(out)?)
            .stderr(File::create(err)?)
            .spawn()
    }
}

/// Waits for npm, for as long as `go_on` says so; `None` if it was stopped before it ended.
fn wait(
    npm: &mut Child,
    limit: Duration,
    mut go_on: impl FnMut() -> bool,
) -> io::Result<Option<ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = npm.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() > limit || !go_on() {
            npm.kill()?;
            npm.wait()?;
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}

/// The highest version in npm's output.
fn highest(answer: &str) -> Result<Published, String> {
    let answer = serde_json::from_str(answer).map_err(|error| error.to_string())?;
    let many = match answer {
        Answer::One(one) => vec![one],
        Answer::Many(many) => many,
    };
    many.into_iter()
        .max_by_key(|published| numbers(&published.version))
        .ok_or_else(|| "no version matches".to_owned())
}

/// A version's numbers, for comparing, without a pre-release suffix.
fn numbers(version: &str) -> Vec<u64> {
    let release = version.split(['-', '+']).next().unwrap_or_default();
    release.split('.').map(|number| number.parse().unwrap_or(0)).collect()
}

/// The cause in npm's output: that of a failed request, else npm's error code, else its first line.
fn cause(lines: &str) -> String {
    let after = |mark: &str| lines.lines().find_map(|line| Some(line.split_once(mark)?.1.trim()));
    let first = || lines.lines().map(str::trim).find(|line| !line.is_empty());
    let cause = after("reason: ").or_else(|| after("npm error code ")).or_else(first);
    cause.unwrap_or("without output").to_owned()
}

/// npm's last lines, without empty ones.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(LAST_LINES);
    lines.get(from..).unwrap_or_default().join("\n")
}

/// The total size of the files below a folder; unreadable files count as 0.
fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_version_is_taken_by_number() {
        let answer = r#"[{"dist.integrity":"sha512-a","version":"1.9.0"},
            {"dist.integrity":"sha512-b","version":"1.44.0"},
            {"dist.integrity":"sha512-c","version":"1.5.12"}]"#;
        assert_eq!(highest(answer).unwrap().version, "1.44.0");
        let one = r#"{"dist.integrity":"sha512-a","version":"2.3.2026061719"}"#;
        assert_eq!(highest(one).unwrap().integrity, "sha512-a");
        assert!(highest("").is_err() && highest("[]").is_err() && highest("{}").is_err());
    }

    #[test]
    fn an_error_names_the_cause() {
        let failed = "npm error code ECONNREFUSED\nnpm error FetchError: request to \
            http://127.0.0.1:1/a failed, reason: connect ECONNREFUSED 127.0.0.1:1\nnpm error     at";
        assert_eq!(cause(failed), "connect ECONNREFUSED 127.0.0.1:1");
        assert_eq!(cause("npm error code E404\nnpm error 404 Not Found"), "E404");
        assert_eq!(cause("\nnode: no such file\n"), "node: no such file");
        assert_eq!(cause(""), "without output");
    }

    #[test]
    fn an_error_keeps_the_last_lines() {
        let lines: Vec<_> = (0..100).map(|line| format!("npm error {line}")).collect();
        let kept = last_lines(&lines.join("\n\n"));
        assert_eq!(kept.lines().count(), LAST_LINES);
        assert!(kept.ends_with("npm error 99"));
    }
}
