//! The metrics that Prometheus's clients have of their process, from `/proc` (on Linux only), and
//! the build.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use crate::metrics as names;

/// What `/proc/self/stat` tells of a process.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    /// Since the machine started.
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name, in parentheses, may contain anything. The first field after it is the third.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<_> = fields.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// Appends the metrics of this process and its build, in Prometheus's text format.
#[allow(clippy::cast_precision_loss, reason = "no value reaches 2⁵³")]
pub fn write(out: &mut String) {
    let build = [("version", env!("CARGO_PKG_VERSION")), ("commit", env!("SLUGLINE_COMMIT"))];
    let build = build.map(|(label, text)| (label, text.to_owned())).to_vec();
    names::write(out, names::BUILD_INFO, [(build, 1.0)]);
    let mut put = |name, value: f64| names::write(out, name, [(Vec::new(), value)]);
    let read = |file: &str| fs::read_to_string(format!("/proc/{file}")).ok();
    if let Some(stat) = read("self/stat").as_deref().and_then(Stat::parse) {
        let seconds = |ticks: u64| ticks as f64 / clock_ticks_per_second() as f64;
        put(names::PROCESS_CPU_SECONDS, seconds(stat.cpu_ticks));
        put(names::PROCESS_RESIDENT_MEMORY, (stat.resident_pages * page_size() as u64) as f64);
        put(names::PROCESS_VIRTUAL_MEMORY, stat.virtual_bytes as f64);
        let boot = read("stat").as_deref().and_then(boot_time);
        if let Some(boot) = boot {
            put(names::PROCESS_START_TIME, boot as f64 + seconds(stat.start_ticks));
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // Without the one that lists them.
        put(names::PROCESS_OPEN_FDS, open.count().saturating_sub(1) as f64);
    }
    if let Some(max) = getrlimit(Resource::Nofile).current {
        put(names::PROCESS_MAX_FDS, max as f64);
    }
}

/// When the machine started, in seconds since the Unix epoch, from `/proc/stat`.
fn boot_time(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_proc_are_parsed() {
        let text = "42 (a) b (c) S 1 42 42 0 -1 4194560 900 0 0 0 150 50 0 0 20 0 9 0 777 \
                    123456789 2000 18446744073709551615 1 1 0";
        let expected = Stat {
            cpu_ticks: 200,
            start_ticks: 777,
            virtual_bytes: 123_456_789,
            resident_pages: 2_000,
        };
        assert_eq!(Stat::parse(text), Some(expected));
        assert_eq!(Stat::parse("42 (short) S 1"), None);
        assert_eq!(boot_time("cpu 1 2\nbtime 1781725900\nprocesses 7\n"), Some(1_781_725_900));
    }
}
