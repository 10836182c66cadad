//! The engine's child process.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::config::EngineOptions;
use super::deduplication;
use super::endpoint::{DATABASE, Endpoint, Password};
use super::error::EngineError;
use super::library::EngineArgs;
use super::probe;

/// The number of the child's last lines to log when it dies.
const LAST_LINES: usize = 20;
/// The maximum length of a kept line, in bytes; a statement in an error can be of any length.
const LINE_BYTES: u64 = 4096;
/// The levels that need attention, as `ClickHouse` writes them in the first line of a message; a
/// stack trace may follow. Its warnings are about itself, such as a connection that is still open
/// when it stops.
const LEVELS: [&str; 3] = ["<Error>", "<Critical>", "<Fatal>"];
/// Errors about its client: slugline doesn't wait for the answers to its last queries when it stops.
const CLIENT_GONE: [&str; 2] =
    ["Broken pipe, while writing to socket", "Failed to send exception to the response"];
/// How often to check whether a stopping child has exited.
const POLL: Duration = Duration::from_millis(10);

/// The environment variables passed to the child. The others stay here: they include tokens, and
/// `ClickHouse` reads settings and credentials from variables.
const ENVIRONMENT: [&str; 6] =
    ["PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];

/// A running child.
pub(super) struct EngineChild {
    process: Child,
    port: u16,
    password: Password,
    last_lines: LastLines,
    started: Instant,
}

impl EngineChild {
    /// Starts a child on a new port with a new password. Calls `gone` from another thread when the
    /// child closes its standard error, which it does when it dies.
    pub(super) fn spawn(
        options: &EngineOptions,
        gone: impl FnOnce() + Send + 'static,
    ) -> Result<Self, EngineError> {
        deduplication::repair(&options.data_dir)
            .map_err(EngineError::prepare(&options.data_dir))?;
        let password = Password::random();
        let config = options.config.write(&options.run_dir, &password)?;
        let port = probe::free_port().map_err(EngineError::Spawn)?;
        let args = EngineArgs {
            lib: options.lib.clone(),
            config,
            data: options.data_dir.clone(),
            port,
            parent: Some(std::process::id()),
        };
        let mut process = Command::new(&options.exe)
            .args(args.command_line())
            .env_clear()
            .envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .env("TZ", "UTC")
            .current_dir(&options.run_dir)
            // Closing this pipe is what stops the engine.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal reaches slugline, not the engine.
            .process_group(0)
            .spawn()
            .map_err(EngineError::Spawn)?;
        let last_lines = LastLines::default();
        if let Some(stderr) = process.stderr.take() {
            let lines = last_lines.clone();
            std::thread::Builder::new()
                .name("engine-log".to_owned())
                .spawn(move || {
                    forward(stderr, &lines);
                    gone();
                })
                .map_err(EngineError::Spawn)?;
        }
        Ok(Self { process, port, password, last_lines, started: Instant::now() })
    }

    /// The child's process id.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The time since the child was started.
    pub(super) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Where the child can be reached, once it is [ready](Self::ready).
    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint::on_port(self.port, self.password.clone())
    }

    /// Checks that the child accepts queries; creates the database if missing.
    pub(super) fn ready(&self) -> io::Result<()> {
        probe::execute(self.port, &self.password, "SELECT 1")?;
        let create = format!("CREATE DATABASE IF NOT EXISTS {DATABASE}");
        probe::execute(self.port, &self.password, &create)
    }

    /// The child's exit status, if it has exited.
    pub(super) fn ended(&mut self) -> Option<String> {
        let status = self.process.try_wait();
        status.map_or_else(|error| Some(error.to_string()), |s| s.map(|s| s.to_string()))
    }

    /// The child's last lines, for the log.
    pub(super) fn last_lines(&self) -> String {
        self.last_lines.text()
    }

    /// Stops the child: closes its pipe, and kills it after `grace`. Returns its exit status.
    pub(super) fn stop(mut self, grace: Duration) -> io::Result<ExitStatus> {
        drop(self.process.stdin.take());
        let stopping_since = Instant::now();
        while stopping_since.elapsed() < grace {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(POLL);
        }
        self.process.kill()?;
        self.process.wait()
    }
}

impl Drop for EngineChild {
    /// A child dropped without [`EngineChild::stop`] is killed and reaped.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The last lines that a child wrote.
#[derive(Debug, Clone, Default)]
struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    fn lines(&self) -> MutexGuard<'_, VecDeque<String>> {
        // A half-written list of log lines is still a list of log lines.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: String) {
        let mut lines = self.lines();
        if lines.len() == LAST_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn text(&self) -> String {
        Vec::from(self.lines().clone()).join("\n")
    }
}

/// Forwards the child's lines to slugline's log, until the child closes its standard error.
fn forward(stderr: impl Read, last_lines: &LastLines) {
    let mut reader = BufReader::new(stderr);
    while let Ok(Some(line)) = next_line(&mut reader) {
        if line.trim().is_empty() {
            continue;
        }
        // ClickHouse writes a stack trace below an error: one warning per error is enough.
        if needs_attention(&line) {
            tracing::warn!(target: "slugline::engine", "{line}");
        } else {
            tracing::debug!(target: "slugline::engine", "{line}");
        }
        last_lines.push(line);
    }
}

fn needs_attention(line: &str) -> bool {
    let has = |texts: &[&str]| texts.iter().any(|text| line.contains(text));
    has(&LEVELS) && !has(&CLIENT_GONE)
}

/// The next line, truncated to [`LINE_BYTES`]; `None` at the end.
fn next_line(reader: &mut impl io::BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if reader.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        reader.skip_until(b'\n')?;
    }
    Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_long_ones_truncated() {
        let lines: Vec<_> = (0..100).map(|line| format!("<Error> line {line}")).collect();
        let mut text = lines.join("\n\n") + "\n";
        text.push_str(&"x".repeat(100_000));
        text.push_str("\nthe end");
        let kept = LastLines::default();
        forward(text.as_bytes(), &kept);
        let kept = kept.text();
        assert_eq!(kept.lines().count(), LAST_LINES);
        assert!(kept.ends_with("\nthe end") && kept.len() < 8192);
        assert!(kept.contains("line 99") && !kept.contains("line 50"));
    }

    #[test]
    fn errors_need_attention_except_about_a_client_that_is_gone() {
        assert!(needs_attention("{1b31} <Error> MergeTree: Code: 243. Cannot reserve 1.00 MiB"));
        assert!(!needs_attention("{1b31} <Warning> Context: Linux transparent hugepages"));
        assert!(!needs_attention(
            "{1b31} <Error> DynamicQueryHandler: I/O error: Broken pipe, while writing to socket"
        ));
    }
}
