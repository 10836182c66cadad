//! Starts a server, waits until it is ready, and stops it even if the benchmark fails.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use reqwest::StatusCode;
use rustix::process::{Pid, Signal};

/// The hidden argument that makes this executable one that dies with its parent, and then the
/// program that the next arguments name.
pub const GUARDED: &str = "--guarded";

const POLL: Duration = Duration::from_millis(2);
/// Lines of a server's output that an error shows.
const TAIL: usize = 20;

/// Asks the kernel to end this process with the benchmark, then becomes another program.
///
/// The benchmark may be killed and then ends nothing by itself; the wish outlives the exec.
pub fn become_guarded(mut words: impl Iterator<Item = OsString>) -> anyhow::Result<ExitCode> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let program = words.next().context("no program to guard")?;
    let failed = Command::new(&program).args(words).exec();
    Err(failed).with_context(|| format!("cannot run {}", program.display()))
}

/// An address that was free a moment ago.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}

/// The command line of a server.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The name in messages.
    pub name: &'static str,
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Additional environment variables.
    pub environment: Vec<(&'static str, String)>,
    /// Where it will listen.
    pub address: SocketAddr,
    /// The answer to `GET /readyz` by which it is ready.
    pub ready: StatusCode,
    /// Where its output goes.
    pub output: PathBuf,
}

/// A server that runs; dropped, it is killed.
#[derive(Debug)]
pub struct Server {
    recipe: Recipe,
    child: Child,
    /// From its start to its first answer that it is ready.
    pub ready_after: Duration,
}

impl Server {
    /// Starts a server and waits until it is ready.
    pub async fn start(
        recipe: Recipe,
        http: &reqwest::Client,
        limit: Duration,
    ) -> anyhow::Result<Self> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(&recipe.output)
            .with_context(|| format!("cannot write {}", recipe.output.display()))?;
        let begun = Instant::now();
        let child = Command::new(std::env::current_exe()?)
            .arg(GUARDED)
            .arg(&recipe.program)
            .args(&recipe.arguments)
            .envs(recipe.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", recipe.name))?;
        let mut server = Self { recipe, child, ready_after: Duration::ZERO };
        server.wait_until_ready(http, begun + limit).await?;
        server.ready_after = begun.elapsed();
        Ok(server)
    }

    async fn wait_until_ready(
        &mut self,
        http: &reqwest::Client,
        deadline: Instant,
    ) -> anyhow::Result<()> {
        let url = format!("http://{}/readyz", self.recipe.address);
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended before it was ready ({status}):\n{}",
                    self.recipe.name,
                    tail(&self.recipe.output)
                );
            }
            let answer = http.get(&url).send().await;
            if answer.is_ok_and(|answer| answer.status() == self.recipe.ready) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{} is not ready in time:\n{}", self.recipe.name, tail(&self.recipe.output));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.recipe.address
    }

    /// Ends the server by SIGTERM and waits for it; returns how it can be started again.
    pub async fn stop(mut self, limit: Duration) -> anyhow::Result<Recipe> {
        let process = Pid::from_child(&self.child);
        rustix::process::kill_process(process, Signal::TERM)?;
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                if status.success() {
                    return Ok(self.recipe.clone());
                }
                bail!("{} stopped with {status}:\n{}", self.recipe.name, tail(&self.recipe.output));
            }
            if Instant::now() > deadline {
                bail!("{} doesn't stop by SIGTERM", self.recipe.name);
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Neither can fail but on a process that has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of a server's output.
fn tail(output: &Path) -> String {
    let text = fs::read(output).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}
