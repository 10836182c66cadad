//! `slugline doctor`: checks what slugline needs, and says what to do about what is wrong.

use std::fs::{self, File};
use std::io::Write;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail, ensure};
use clap::Args;
use reqwest::blocking;
use serde::Serialize;
use serde_json::Value;
use url::Url;

use super::client::{ApiClient, plain_client};
use super::health::guides_of;
use super::table;
use crate::app::control::Control;
use crate::config::{ClickHouseChoice, ServeArgs, Settings, Source};
use crate::domain::hostname::split_port;
use crate::engine::{self, Package};

/// Less free space than this is a failure: a full disk refuses changes.
const MIN_FREE_BYTES: u64 = 1 << 30;
/// A slower disk makes each change slow.
const SLOW_SYNC: Duration = Duration::from_millis(30);
/// The number of syncs to measure; the median counts.
const SYNCS: usize = 9;
/// How far the newest file may be ahead of the clock.
const MAX_AHEAD: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// `slugline doctor`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slugline doctor --data-dir /var/lib/slugline
  slugline doctor --config /etc/slugline/slugline.toml --json")]
pub struct DoctorArgs {
    /// Report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    serve: ServeArgs,
}

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok,
    /// It works, but not as well as it could.
    Warning,
    Failed,
}

#[derive(Debug, Serialize)]
struct Check {
    #[serde(rename = "check")]
    name: &'static str,
    outcome: Outcome,
    detail: String,
}

/// What a check found.
type Found = anyhow::Result<(Outcome, String)>;

/// Checks, and prints the outcomes to `out`; fails if a check did.
pub fn doctor(args: DoctorArgs, mut out: impl Write) -> anyhow::Result<()> {
    let settings = args.serve.settings()?;
    let data = settings.data_dir.as_path();
    let checks = [
        ("data folder", data_folder(data)),
        ("disk", disk(data)),
        ("clock", clock(data)),
        ("engine", analytics_engine(&settings)),
        ("service", service(data)),
        ("proxy", proxy(&settings)),
        ("dns", dns(&settings)),
    ];
    let checks = checks.map(|(name, found)| {
        let (outcome, detail) =
            found.unwrap_or_else(|error| (Outcome::Failed, format!("{error:#}")));
        Check { name, outcome, detail }
    });
    let lines = checks.iter().map(|check| serde_json::to_value(check).unwrap_or_default());
    let lines: Vec<Value> = lines.collect();
    if args.json {
        writeln!(out, "{}", Value::from(lines))?;
    } else {
        table::print(&mut out, &["check", "outcome", "detail"], lines.iter())?;
    }
    match checks.iter().filter(|check| check.outcome == Outcome::Failed).count() {
        0 => Ok(()),
        failed => bail!("{failed} of {} checks failed", checks.len()),
    }
}

/// It can be written, and has room.
fn data_folder(data: &Path) -> Found {
    let shown = data.display();
    let folder = existing(data)?;
    let probe = folder.join(format!("doctor-{}.tmp", std::process::id()));
    let written = File::create_new(&probe);
    let _gone = fs::remove_file(&probe);
    if folder != data {
        let denied = format!(" (not as this user: it cannot write to {})", folder.display());
        let denied = written.err().map(|_| denied).unwrap_or_default();
        let detail = format!("{shown} does not exist yet; `serve` creates it{denied}");
        return Ok((Outcome::Warning, detail));
    }
    written.with_context(|| format!("cannot write to {shown}: run this as the service's user"))?;
    let stat = rustix::fs::statvfs(data)?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let outcome = if free < MIN_FREE_BYTES { Outcome::Failed } else { Outcome::Ok };
    Ok((outcome, format!("{shown} can be written; {} MiB are free", free >> 20)))
}

/// The folder itself, or the nearest one above it that exists.
fn existing(folder: &Path) -> anyhow::Result<&Path> {
    let above = folder.ancestors().find(|above| above.exists()).unwrap_or_else(|| Path::new("."));
    ensure!(above.is_dir(), "{} is not a folder", above.display());
    Ok(above)
}

/// How long a sync takes: an answered change is synced.
fn disk(data: &Path) -> Found {
    let folder = existing(data)?;
    let mut file = match tempfile_in(folder) {
        Err(error) if folder != data => {
            return Ok((Outcome::Warning, format!("not measured: {error:#}")));
        }
        file => file?,
    };
    let mut times = [Duration::ZERO; SYNCS];
    for time in &mut times {
        let start = Instant::now();
        file.write_all(&[0; 4_096])?;
        file.sync_data()?;
        *time = start.elapsed();
    }
    times.sort();
    let median = times.get(SYNCS / 2).copied().unwrap_or_default();
    let outcome = if median > SLOW_SYNC { Outcome::Warning } else { Outcome::Ok };
    Ok((outcome, format!("a sync takes {:.1} ms", median.as_secs_f64() * 1e3)))
}

/// A file without a name.
fn tempfile_in(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join(format!("doctor-{}.tmp", std::process::id()));
    let file = File::create_new(&path).with_context(|| path.display().to_string())?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// The clock is synchronized, as far as the system says, and not behind the log.
fn clock(data: &Path) -> Found {
    let logs = ["mutations", "clicks"].map(|log| data.join("log").join(log));
    let files = logs.iter().filter_map(|log| fs::read_dir(log).ok()).flatten().flatten();
    let newest = files.filter_map(|file| file.metadata().ok()?.modified().ok()).max();
    let now = SystemTime::now();
    let shown = jiff::Timestamp::try_from(now)?.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    match newest.and_then(|newest| newest.duration_since(now).ok()) {
        Some(ahead) if ahead > MAX_AHEAD => {
            bail!(
                "{shown} is {} s before the newest event in the log: set the clock",
                ahead.as_secs()
            )
        }
        _ => {}
    }
    Ok(match is_synchronized() {
        Some(true) => (Outcome::Ok, format!("{shown}, synchronized")),
        Some(false) => {
            (Outcome::Warning, format!("{shown}, not synchronized: start a time service (NTP)"))
        }
        None => (Outcome::Ok, shown),
    })
}

/// Whether the kernel's clock is synchronized, as systemd reports it; `None` where it does not run.
fn is_synchronized() -> Option<bool> {
    let mut command = std::process::Command::new("timedatectl");
    let output = command.args(["show", "--property=NTPSynchronized", "--value"]).output().ok()?;
    match output.stdout.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

/// The engine is in the cache, or the ClickHouse server answers.
fn analytics_engine(settings: &Settings) -> Found {
    match &settings.clickhouse {
        ClickHouseChoice::Server(target) => {
            let url = format!("{}/ping", target.url.trim_end_matches('/'));
            let answer = plain_client(&url, REQUEST_TIMEOUT)?.get(&url).send();
            let answer = answer.and_then(blocking::Response::error_for_status);
            answer.with_context(|| format!("ClickHouse does not answer at {}", target.url))?;
            Ok((Outcome::Ok, format!("ClickHouse answers at {}", target.url)))
        }
        ClickHouseChoice::Embedded { lib: Source::File(lib), .. } => {
            let length = fs::metadata(lib).with_context(|| lib.display().to_string())?.len();
            Ok((Outcome::Ok, format!("{} ({} MiB)", lib.display(), length >> 20)))
        }
        ClickHouseChoice::Embedded { .. } => {
            let cache = engine::default_cache_dir()?;
            if let Some(lib) = engine::cached(&Package::engine()?, &cache) {
                return Ok((Outcome::Ok, lib.display().to_string()));
            }
            let missing = format!("not in {} yet: `serve` downloads it", cache.display());
            Ok((Outcome::Warning, missing))
        }
    }
}

/// A service runs on the data folder, and is ready.
fn service(data: &Path) -> Found {
    let Some(control) = Control::read(data)? else {
        return Ok((Outcome::Warning, "none runs on the data folder".to_owned()));
    };
    if ApiClient::local(data)?.is_none() {
        let detail = format!("{} does not answer: it was killed, or hangs", control.address);
        return Ok((Outcome::Failed, detail));
    }
    let url = format!("http://{}/readyz", control.address);
    let answer: Value = plain_client(&url, REQUEST_TIMEOUT)?.get(&url).send()?.json()?;
    let status = answer["status"].as_str().unwrap_or("unknown");
    let warnings = answer["warnings"].as_array().into_iter().flatten().map(table::cell);
    let is_up = answer["projections"]["clickhouse"]["state"] == "up";
    let reason = answer["downloads"]["engine"]["reason"].as_str().unwrap_or("ClickHouse is not up");
    let warnings = warnings.chain((!is_up).then(|| format!("no analytics: {reason}")));
    let detail: Vec<_> = [format!("{url}: {status}")].into_iter().chain(warnings).collect();
    let outcome = match (status, detail.len()) {
        ("ready", 1) => Outcome::Ok,
        ("ready", _) => Outcome::Warning,
        _ => Outcome::Failed,
    };
    Ok((outcome, detail.join("; ")))
}

/// The public URL leads to slugline.
fn proxy(settings: &Settings) -> Found {
    let Some(url) = &settings.public_url else {
        let listen = settings.listen;
        if listen.ip().is_unspecified() {
            let detail = format!("short URLs begin with http://{listen}: set --public-url");
            return Ok((Outcome::Warning, detail));
        }
        return Ok((Outcome::Ok, "no --public-url: only this machine is expected".to_owned()));
    };
    guides_of(url, REQUEST_TIMEOUT)?;
    Ok((Outcome::Ok, format!("{url} leads to slugline")))
}

/// The hosts of the public URL, of the dialects and, if a service runs, of the workspaces' domains
/// have addresses, and the same ones.
fn dns(settings: &Settings) -> Found {
    let own = settings.public_url.as_ref().and_then(Url::host_str).map(str::to_owned);
    let Some(own) = own else { return Ok((Outcome::Ok, "no --public-url".to_owned())) };
    let expected = addresses(&own)?;
    let mut detail = vec![format!("{own}: {}", shown(&expected))];
    let mut outcome = Outcome::Ok;
    let service = ApiClient::local(&settings.data_dir)?;
    let domains = service.map(|service| service.list("/admin/domains")).transpose()?;
    let domains = domains.as_ref().and_then(Value::as_array).into_iter().flatten();
    let domains = domains.filter_map(|domain| domain["hostname"].as_str());
    for host in settings.dialect_hosts.names().map(AsRef::as_ref).chain(domains) {
        let found = addresses(split_port(host).0);
        if found.as_ref().is_ok_and(|found| *found == expected) {
            detail.push(format!("{host}: the same"));
            continue;
        }
        outcome = Outcome::Warning;
        detail.push(
            found.map_or_else(
                |error| error.to_string(),
                |found| format!("{host}: {}", shown(&found)),
            ),
        );
    }
    Ok((outcome, detail.join("; ")))
}

fn addresses(host: &str) -> anyhow::Result<Vec<IpAddr>> {
    let found = (host, 443).to_socket_addrs().with_context(|| format!("{host} has no address"))?;
    let mut found: Vec<_> = found.map(|address| address.ip()).collect();
    found.sort();
    found.dedup();
    Ok(found)
}

fn shown(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    #[test]
    fn a_folder_is_checked_without_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(data_folder(folder.path()).unwrap().0, Outcome::Ok);
        assert!(disk(folder.path()).unwrap().1.starts_with("a sync takes"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let missing = folder.path().join("missing");
        assert_eq!(data_folder(&missing).unwrap().0, Outcome::Warning);
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(data_folder(&file).unwrap_err().to_string().contains("is not a folder"));
        assert!(data_folder(&file.join("below")).is_err() && disk(&missing).is_ok());
    }

    #[test]
    fn links_that_others_cannot_follow_are_found() {
        let found = |listen: &str| {
            let args = DoctorArgs::augment_args(clap::Command::new("doctor"));
            let matches = args.get_matches_from(["doctor", "--listen", listen]);
            let args = ServeArgs::from_arg_matches(&matches).unwrap();
            proxy(&args.settings().unwrap()).unwrap()
        };
        assert_eq!(found("127.0.0.1:8080").0, Outcome::Ok);
        for listen in ["0.0.0.0:8080", "[::]:8080"] {
            let (outcome, detail) = found(listen);
            assert!(outcome == Outcome::Warning && detail.contains("--public-url"), "{detail}");
        }
    }

    #[test]
    fn a_clock_before_the_log_is_found() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(clock(folder.path()).unwrap().0, Outcome::Ok);
        let log = folder.path().join("log/clicks");
        fs::create_dir_all(&log).unwrap();
        let segment = File::create(log.join("segment")).unwrap();
        segment.set_modified(SystemTime::now() + Duration::from_secs(3_600)).unwrap();
        let error = clock(folder.path()).unwrap_err().to_string();
        assert!(error.contains("set the clock"), "{error}");
    }
}
