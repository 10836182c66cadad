//! Reads `/proc`: the machine, and the resources that a process uses.

use std::fs;
use std::num::ParseIntError;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

/// `/proc` counts processor time in hundredths of a second, on every architecture of Linux
/// that slugline is built for.
const TICK: Duration = Duration::from_millis(10);

/// The machine that both servers and the generator share.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Cores that the run may use.
    pub cores: usize,
    /// All memory, in MiB.
    pub memory_mib: u64,
    /// The processor's name.
    pub cpu: String,
    /// The kernel's release.
    pub kernel: String,
}

/// The memory of a process.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Memory {
    /// Resident now, in KiB.
    pub rss_kib: u64,
    /// Resident at most so far, in KiB.
    pub peak_kib: u64,
}

impl Machine {
    /// Reads what this machine is.
    pub fn read() -> anyhow::Result<Self> {
        let cpu = fs::read_to_string("/proc/cpuinfo")?
            .lines()
            .find(|line| line.starts_with("model name") || line.starts_with("Model"))
            .and_then(|line| line.split_once(':'))
            .map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned());
        let memory = fs::read_to_string("/proc/meminfo")?;
        Ok(Self {
            cores: thread::available_parallelism()?.get(),
            memory_mib: kibibytes(&memory, "MemTotal").context("/proc/meminfo has no total")?
                / 1024,
            cpu,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        })
    }
}

/// The memory that a process has resident.
pub fn memory(process: u32) -> anyhow::Result<Memory> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let read = |name| kibibytes(&status, name).with_context(|| format!("{path} has no {name}"));
    Ok(Memory { rss_kib: read("VmRSS")?, peak_kib: read("VmHWM")? })
}

/// The processor time that a process has used, in its own code and in the kernel.
pub fn processor_time(process: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The name before it may hold anything, even a parenthesis; the times are the twelfth and
    // thirteenth fields after it.
    let (_, fields) = stat.rsplit_once(')').context("an unknown form of stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    sum(ticks).with_context(|| format!("{path} has an unknown form"))
}

/// The processor time that the whole machine has used.
pub fn busy_time() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let mut fields = stat.split_whitespace().skip(1);
    let working = fields.by_ref().take(3);
    let working = sum(working).context("/proc/stat has an unknown form")?;
    // Behind user, nice and system come idle and waiting, then interrupts and stolen time.
    let interrupted = sum(fields.skip(2).take(3)).context("/proc/stat has an unknown form")?;
    Ok(working + interrupted)
}

/// The time that numbers of ticks are together.
fn sum<'text>(ticks: impl Iterator<Item = &'text str>) -> Result<Duration, ParseIntError> {
    let ticks: Vec<u32> = ticks.map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.into_iter().map(|ticks| TICK * ticks).sum())
}

/// The number of a line like `VmRSS:   1234 kB`.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim_end().parse().ok()
}
