//! The terminal output of a run.

use crate::contender::{ClosedLoop, OpenLoop, Percentiles};
use crate::contestant::Contestant;
use crate::machine::{Machine, Memory};
use crate::options::Options;
use crate::report::{self, Report, ScenarioReport, ServerReport, SluglineReport};
use crate::statistics::{as_f64, median};
use crate::sustained::{Answered, Sustained};
use crate::traffic::Summary;

/// Cores that other work may take before the results are in doubt.
const DISTURBED_CORES: f64 = 0.1;

/// Says what is measured, on what, and what to make of it.
pub fn preamble(machine: &Machine, options: &Options) -> String {
    let mut text = format!(
        "{}, {} cores, {} MiB; the servers and the generator share them\n\
         {} connections from {} threads\n",
        machine.cpu,
        machine.cores,
        thousands(machine.memory_mib),
        options.connections,
        options.threads,
    );
    if report::profile() == "debug" {
        text += "a debug build: its numbers mean nothing\n";
    }
    text
}

/// The request rate of a scenario.
pub fn requests(traffic: &Summary) -> String {
    format!(
        "{} requests in the pool: {} links, {} user agents, {} B each",
        thousands(traffic.requests as u64),
        thousands(traffic.distinct_links as u64),
        thousands(traffic.distinct_agents as u64),
        traffic.mean_bytes,
    )
}

/// A line on the closed loop of a round.
pub fn throughput(round: u32, contestant: Contestant, closed: &ClosedLoop) -> String {
    format!(
        "round {round}, {:<9}  {:>8} requests/s   cores: server {:.2}, generator {:.2}, others {:.2}\n",
        contestant.name(),
        rate(closed.requests_per_second),
        closed.server_cores,
        closed.generator_cores,
        closed.other_cores,
    )
}

/// A line on the open loop of a round.
pub fn latency(round: u32, contestant: Contestant, open: &OpenLoop) -> String {
    format!(
        "round {round}, {:<9}  {:>8} asked/s      {:>8} answered/s   p50 {}, p99 {}   \
         generator's lag p50 {}, p99 {}\n",
        contestant.name(),
        rate(open.asked_per_second),
        rate(open.requests_per_second),
        time(open.latency.p50),
        time(open.latency.p99),
        time(open.generator_lag.p50),
        time(open.generator_lag.p99),
    )
}

/// The table of all scenarios, and slugline's own results.
pub fn results(report: &Report) -> String {
    let mut text = format!(
        "\n{:<18} {:<10} {:>11} {:>8} {:>10} {:>10} {:>10} {:>10}\n",
        "scenario", "server", "requests/s", "of bare", "p50", "p99", "p99.9", "RSS"
    );
    for scenario in &report.scenarios {
        for server in &scenario.servers {
            text += &row(scenario, server);
        }
    }
    text += "medians of the rounds; requests/s in a closed loop, latencies at half of that in an \
             open loop,\nfrom when a request was due; the ratio round by round\n";
    for scenario in &report.scenarios {
        if let Some(batches) = scenario.batches {
            text += &batches.to_string();
            text += " batches of 100 questions were answered meanwhile\n";
        }
    }
    for sustained in report.scenarios.iter().filter_map(|scenario| scenario.sustained.as_ref()) {
        text += &beside(sustained);
    }
    let servers = report.scenarios.iter().flat_map(|scenario| &scenario.servers);
    for server in servers.clone().filter(|server| !server.accompanied.is_empty()) {
        text += &accompanied(server);
    }
    let others = servers.flat_map(|server| &server.closed);
    let others = others.map(|round| round.other_cores).fold(0.0, f64::max);
    if others > DISTURBED_CORES {
        text.push_str(&disturbance(others));
    }
    if let Some(slugline) = &report.slugline {
        text += &own_results(slugline);
    }
    text
}

/// The measurements during the sustained load.
fn beside(seen: &Sustained) -> String {
    let answered = |name: &str, of: &Answered| {
        format!(
            "{name:<23} {} answered, {} failed, slowest {} ms\n",
            of.ok, of.failed, of.slowest_ms
        )
    };
    format!(
        "\nbeside the sustained load\n\
         analytics behind        p50 {} ms, p99 {} ms, at most {} ms; {} clicks at the end\n\
         memory                  {} first, {} at most\n{}{}",
        seen.lag_ms_p50,
        seen.lag_ms_p99,
        seen.lag_ms_max,
        thousands(seen.behind_at_end),
        mebibytes(seen.rss_kib_first),
        mebibytes(seen.rss_kib_max),
        answered("changes", &seen.changes),
        answered("questions", &seen.questions),
    )
}

/// The latencies of redirects beside other requests, and the answers to these.
fn accompanied(server: &ServerReport) -> String {
    let (without, with) = (&server.latency, Percentiles::medians(&server.accompanied));
    let mut text = format!(
        "\nbeside other requests: p50 {}, p99 {} ({:.2} times that without), p99.9 {}\n",
        time(with.p50),
        time(with.p99),
        with.p99 / without.p99,
        time(with.p999),
    );
    for (status, ms) in &server.answers {
        let (count, middle) = (thousands(ms.len() as u64), median(ms.iter().copied()));
        let slowest = ms.iter().copied().fold(0.0, f64::max);
        let line =
            [count, format!("answered {status}, p50 {middle:.1} ms, slowest {slowest:.0} ms\n")];
        text.push_str(&line.join(" "));
    }
    text
}

fn disturbance(cores: f64) -> String {
    format!("other work took up to {cores:.2} cores meanwhile: repeat this on a quiet machine\n")
}

fn row(scenario: &ScenarioReport, server: &ServerReport) -> String {
    let of_bare = match (server.server, scenario.ratio) {
        (Contestant::Bare, _) => "100.0 %".to_owned(),
        (_, Some(ratio)) => format!("{:.1} %", ratio * 100.0),
        (_, None) => "–".to_owned(),
    };
    let at = |pick: fn(&Percentiles) -> f64| time(pick(&server.latency));
    format!(
        "{:<18} {:<10} {:>11} {:>8} {:>10} {:>10} {:>10} {:>10}\n",
        scenario.scenario.name(),
        server.server.name(),
        rate(server.requests_per_second),
        of_bare,
        at(|latency| latency.p50),
        at(|latency| latency.p99),
        at(|latency| latency.p999),
        server.memory.map_or_else(|| "–".to_owned(), |memory| mebibytes(memory.rss_kib)),
    )
}

fn own_results(slugline: &SluglineReport) -> String {
    let memory = |memory: &Memory| {
        format!("{} (peak {})", mebibytes(memory.rss_kib), mebibytes(memory.peak_kib))
    };
    let counts = &slugline.counts;
    format!(
        "\nslugline with {} links\n\
         memory with the links   {}\n\
         memory after the load   {}\n\
         ready after a restart   {:.3} s, with a warm page cache\n\
         clicks                  {} answered, {} in the log, {} in ClickHouse: {}\n",
        thousands(slugline.links.into()),
        memory(&slugline.memory_with_links),
        memory(&slugline.memory_after_load),
        slugline.restart_ready_seconds,
        thousands(counts.answered),
        thousands(counts.in_log),
        thousands(counts.in_clickhouse),
        if counts.equal() { "equal" } else { "NOT EQUAL" },
    )
}

/// A count with its thousands apart: `65,536`.
pub fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number per second, without its fraction.
pub fn rate(per_second: f64) -> String {
    let whole = format!("{per_second:.0}");
    whole.parse().map_or(whole, thousands)
}

fn time(microseconds: f64) -> String {
    if microseconds < 1_000.0 {
        format!("{microseconds:.0} µs")
    } else {
        format!("{:.2} ms", microseconds / 1_000.0)
    }
}

fn mebibytes(kibibytes: u64) -> String {
    format!("{:.1} MiB", as_f64(kibibytes) / 1_024.0)
}
