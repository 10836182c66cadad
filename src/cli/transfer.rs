//! `slugline import` and `slugline export`: files of links, to and from a service by its API.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use ureq::http::Response;
use ureq::typestate::{WithBody, WithoutBody};
use ureq::{Agent, Body, RequestBuilder, SendBody};
use url::{Host, Url};

use super::operate::LOOK_EVERY;
use crate::app::control::Control;
use crate::domain::command::OnConflict;
use crate::http::security::OPERATOR_KEY;
use crate::imports::MAX_FILE_BYTES;
use crate::imports::formats::Format;

/// How many links with remarks are shown: rejected ones, where no file takes them, and others.
const SHOWN_LINKS: usize = 10;
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How often a service that does not answer is asked again how an import goes.
const ASKS: u32 = 50;

/// Which service, and who asks.
#[derive(Debug, Args)]
pub struct Remote {
    /// Where the service is
    #[arg(long, env = "SLUGLINE_URL", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// An API token; better given in the environment than as a flag
    #[arg(long, env = "SLUGLINE_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: String,
    /// The service's data folder, where it runs on this machine. Whoever can read it may send a
    /// token over plain HTTP to a service whose public URL is https
    #[arg(long, env = "SLUGLINE_DATA_DIR", value_name = "FOLDER", default_value = "data")]
    data_dir: PathBuf,
}

impl Remote {
    /// The operator's key of the service at the URL, if its data folder is at hand. The URL has to
    /// hold the very address that the data folder names: nothing else may learn the key.
    fn operator_key(&self) -> Option<String> {
        let url = Url::parse(&self.url).ok().filter(|url| url.scheme() == "http")?;
        let ip = match url.host()? {
            Host::Ipv4(ip) => IpAddr::V4(ip),
            Host::Ipv6(ip) => IpAddr::V6(ip),
            Host::Domain(_) => return None,
        };
        let address = SocketAddr::new(ip, url.port_or_known_default()?);
        let control = Control::read(&self.data_dir)?;
        (control.public == Some(address)).then_some(control.key)
    }
}

/// `slugline import`
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The file of links; `-` reads it from standard input
    file: PathBuf,
    /// What the file is: csv, ndjson, bitly, dub, shlink, yourls or kutt [default: guessed]
    #[arg(long, value_parser = format_named)]
    format: Option<Format>,
    /// Change nothing: say what would be
    #[arg(long)]
    dry_run: bool,
    /// What of a link that is there already, by its external id or slug: reject, skip or replace
    #[arg(long, value_parser = on_conflict_named, default_value = "reject")]
    on_conflict: OnConflict,
    /// Have all links on this domain [default: where they were, if the workspace has that domain]
    #[arg(long)]
    domain: Option<String>,
    /// Keep those links in this folder that name none
    #[arg(long)]
    folder: Option<String>,
    /// Tag all links, too; can be given several times
    #[arg(long = "tag")]
    tags: Vec<String>,
    /// Write the links that could not be taken to this file, as CSV if it ends in .csv, else a line
    /// of JSON each
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

/// `slugline export`
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// What the file is to be
    #[arg(long, value_enum, default_value = "csv")]
    format: ExportFormat,
    /// Where the file goes [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// With clicks and unique visitors
    #[arg(long)]
    counts: bool,
    #[command(flatten)]
    remote: Remote,
}

/// A kind of file that an export can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A row for each link, behind a header
    Csv,
    /// A line of JSON for each link
    Ndjson,
}

fn format_named(name: &str) -> Result<Format, String> {
    let names = || Format::ALL.map(Format::as_str).join(", ");
    Format::parse(name).ok_or_else(|| format!("must be one of {}", names()))
}

fn on_conflict_named(name: &str) -> Result<OnConflict, String> {
    let found = OnConflict::EVERY.into_iter().find(|each| each.as_str() == name);
    found.ok_or_else(|| "must be one of reject, skip, replace".to_owned())
}

/// Has a service import a file, with progress; fails where links were rejected.
pub fn import(args: &ImportArgs, mut out: impl Write) -> anyhow::Result<()> {
    let api = Api::new(&args.remote);
    let (body, bytes) = read_file(&args.file)?;
    let bar = bar(bytes, "{bar:30} {bytes}/{total_bytes} sent");
    let request = api.post("/imports").query_pairs(parameters(args));
    let request = request.content_type("application/octet-stream");
    let sent = request.send(SendBody::from_owned_reader(bar.wrap_read(body)));
    let begun = json(sent)?;
    bar.finish_and_clear();
    let job = watch(&api, &begun["data"])?;
    if let Some(file) = &args.rejects {
        save_rejects(&api, &job, file)?;
    }
    report(&api, args, &job, &mut out)
}

fn parameters(args: &ImportArgs) -> Vec<(&'static str, String)> {
    let mut parameters = vec![
        ("dry_run", args.dry_run.to_string()),
        ("on_conflict", args.on_conflict.as_str().to_owned()),
    ];
    parameters.extend(args.format.map(|format| ("format", format.as_str().to_owned())));
    parameters.extend(args.domain.clone().map(|domain| ("domain", domain)));
    parameters.extend(args.folder.clone().map(|folder| ("folder", folder)));
    parameters.extend(args.tags.iter().map(|tag| ("tag", tag.clone())));
    parameters
}

/// The file, and how long it is.
fn read_file(path: &Path) -> anyhow::Result<(Box<dyn Read + Send>, u64)> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).context("standard input can't be read")?;
        let length = bytes.len() as u64;
        return Ok((Box::new(io::Cursor::new(bytes)), length));
    }
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (length, file) = opened.with_context(|| format!("{} can't be read", path.display()))?;
    // Said before it is sent: a service that refuses while a file comes in may not be heard.
    if length > MAX_FILE_BYTES {
        bail!("{} is larger than {} MiB: split it", path.display(), MAX_FILE_BYTES >> 20);
    }
    Ok((Box::new(file), length))
}

/// Shows how an import goes until it is over.
fn watch(api: &Api, begun: &Value) -> anyhow::Result<Value> {
    let id = begun["id"].as_str().context("the service began no import")?;
    let bar = bar(1_000, "{bar:30} {percent} % {msg}, {eta} left");
    let mut failures = 0;
    loop {
        let job = match json(api.get(&format!("/imports/{id}")).call()) {
            Ok(mut answer) => answer["data"].take(),
            // It is restarted perhaps: the import goes on with it.
            Err(error) if error.is::<ureq::Error>() && failures < ASKS => {
                failures += 1;
                std::thread::sleep(LOOK_EVERY);
                continue;
            }
            Err(error) => return Err(error),
        };
        failures = 0;
        if matches!(job["state"].as_str(), Some("done" | "failed")) {
            bar.finish_and_clear();
            return Ok(job);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of 1"
        )]
        bar.set_position((job["progress"].as_f64().unwrap_or_default() * 1_000.0) as u64);
        bar.set_message(format!("{} links", job["rows"]));
        std::thread::sleep(LOOK_EVERY);
    }
}

fn save_rejects(api: &Api, job: &Value, file: &Path) -> anyhow::Result<()> {
    let is_csv = file.extension().is_some_and(|ending| ending == "csv");
    let format = if is_csv { "csv" } else { "ndjson" };
    let mut rejects = remarks(api, job, "rejects", format)?;
    let shown = || format!("{} can't be written", file.display());
    let mut file = File::create(file).with_context(shown)?;
    io::copy(&mut rejects, &mut file)?;
    Ok(())
}

/// A part of an import's report, `rejects` or `warnings`.
fn remarks(api: &Api, job: &Value, part: &str, format: &str) -> anyhow::Result<impl Read> {
    let id = job["id"].as_str().unwrap_or_default();
    let request = api.get(&format!("/imports/{id}/{part}")).query("format", format);
    Ok(answered(request.call())?.into_body().into_reader())
}

/// Shows the first links of a part of an import's report.
fn show_remarks(
    api: &Api,
    job: &Value,
    (part, field): (&str, &str),
    total: u64,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let lines = io::BufReader::new(remarks(api, job, part, "ndjson")?).lines();
    for line in lines.take(SHOWN_LINKS) {
        let line: Value = serde_json::from_str(&line?)?;
        let slug = line["slug"].as_str().unwrap_or("-");
        writeln!(out, "row {} ({slug}): {}", line["row"], line[field])?;
    }
    if total > SHOWN_LINKS as u64 {
        let url = job[format!("{part}_url")].as_str().unwrap_or_default();
        writeln!(out, "… and {} more: {url}", total - SHOWN_LINKS as u64)?;
    }
    Ok(())
}

fn report(api: &Api, args: &ImportArgs, job: &Value, out: &mut impl Write) -> anyhow::Result<()> {
    if args.dry_run {
        writeln!(out, "Nothing was changed. What would be:")?;
    }
    let number = |name: &str| job[name].as_u64().unwrap_or_default();
    for name in ["rows", "created", "replaced", "unchanged", "skipped", "rejected", "warnings"] {
        writeln!(out, "{name:<10} {:>9}", number(name))?;
    }
    let names = |field: &str| {
        let names = job[field].as_array().into_iter().flatten().filter_map(Value::as_str);
        names.collect::<Vec<_>>().join(", ")
    };
    for (field, text) in [
        ("ignored_columns", "columns that nothing is made of"),
        ("unknown_domains", "domains that this workspace lacks (links are on its default domain)"),
    ] {
        let names = names(field);
        if !names.is_empty() {
            writeln!(out, "{text}: {names}")?;
        }
    }
    match number("generated_slugs") {
        0 => {}
        generated => writeln!(out, "links without a slug in the file, which got one: {generated}")?,
    }
    if number("rejected") > 0 && args.rejects.is_none() {
        show_remarks(api, job, ("rejects", "errors"), number("rejected"), out)?;
    }
    if number("warnings") > 0 {
        writeln!(out, "taken with changes:")?;
        show_remarks(api, job, ("warnings", "warnings"), number("warnings"), out)?;
    }
    if let Some(error) = job["error"].as_str() {
        bail!("the import failed: {error}");
    }
    match number("rejected") {
        0 => Ok(()),
        rejected => bail!("{rejected} of {} links could not be taken", number("rows")),
    }
}

/// Writes all links of a service to a file, with progress.
pub fn export(args: &ExportArgs, stdout: impl Write) -> anyhow::Result<()> {
    let api = Api::new(&args.remote);
    let total = json(api.get("/links/count").query("archived", "any").call())?;
    let total = total["data"]["links"].as_u64().unwrap_or_default();
    let format = match args.format {
        ExportFormat::Csv => "csv",
        ExportFormat::Ndjson => "ndjson",
    };
    let request = api.get("/links/export").query("format", format);
    let request = request.query("counts", args.counts.to_string());
    let mut file = answered(request.call())?.into_body().into_reader();
    let bar = bar(total, "{bar:30} {human_pos}/{human_len} links, {eta} left");
    let lines = match args.format {
        // Behind the header.
        ExportFormat::Csv => Lines { ended: 0, header: 1, is_quoted: false },
        ExportFormat::Ndjson => Lines::default(),
    };
    let Some(path) = &args.output else {
        return copy(&mut file, stdout, &bar, lines);
    };
    let is_device = std::fs::metadata(path).is_ok_and(|there| !there.is_file());
    if is_device {
        let out = OpenOptions::new().write(true).open(path);
        let out = out.with_context(|| format!("{} can't be written", path.display()))?;
        return copy(&mut file, out, &bar, lines);
    }
    // A file that is there is whole.
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let shown = || format!("{} can't be written", part.display());
    let out = File::create_new(&part).with_context(shown)?;
    let copied = copy(&mut file, &out, &bar, lines).and_then(|()| Ok(out.sync_all()?));
    if let Err(error) = copied.and_then(|()| Ok(std::fs::rename(&part, path)?)) {
        let _absent = std::fs::remove_file(&part);
        return Err(error);
    }
    Ok(())
}

fn copy(
    from: &mut impl Read,
    mut to: impl Write,
    bar: &ProgressBar,
    mut lines: Lines,
) -> anyhow::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = from.read(&mut buffer).context("the export broke off")?;
        let Some(piece) = buffer.get(..length).filter(|piece| !piece.is_empty()) else { break };
        to.write_all(piece)?;
        lines.read(piece);
        bar.set_position(lines.links());
    }
    to.flush()?;
    bar.finish_and_clear();
    Ok(())
}

/// Counts links as they go by: line breaks, but for those in quotes.
#[derive(Default)]
struct Lines {
    ended: u64,
    header: u64,
    is_quoted: bool,
}

impl Lines {
    fn read(&mut self, piece: &[u8]) {
        for byte in piece {
            match byte {
                b'"' if self.header == 1 => self.is_quoted = !self.is_quoted,
                b'\n' if !self.is_quoted => self.ended += 1,
                _ => {}
            }
        }
    }

    const fn links(&self) -> u64 {
        self.ended.saturating_sub(self.header)
    }
}

fn bar(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    let bar =
        ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    if !io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}

/// A service's API.
struct Api {
    agent: Agent,
    base: String,
    token: String,
    operator_key: Option<String>,
}

impl Api {
    fn new(remote: &Remote) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_LIMIT))
            .max_redirects(0)
            .build();
        let base = format!("{}/api/v1", remote.url.trim_end_matches('/'));
        let operator_key = remote.operator_key();
        Self { agent: config.into(), base, token: remote.token.clone(), operator_key }
    }

    fn get(&self, path: &str) -> RequestBuilder<WithoutBody> {
        self.authorized(self.agent.get(format!("{}{path}", self.base)))
    }

    fn post(&self, path: &str) -> RequestBuilder<WithBody> {
        self.authorized(self.agent.post(format!("{}{path}", self.base)))
    }

    fn authorized<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        let request = request.header("authorization", format!("Bearer {}", self.token));
        match &self.operator_key {
            Some(key) => request.header(OPERATOR_KEY, key),
            None => request,
        }
    }
}

/// An answer, if it is a good one.
fn answered(answer: Result<Response<Body>, ureq::Error>) -> anyhow::Result<Response<Body>> {
    let mut answer = answer?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    let problem: Value = answer.body_mut().read_json().unwrap_or_default();
    match problem["detail"].as_str() {
        Some(detail) => bail!("{detail} ({})", answer.status()),
        None => bail!("the service answered {}", answer.status()),
    }
}

fn json(answer: Result<Response<Body>, ureq::Error>) -> anyhow::Result<Value> {
    Ok(answered(answer)?.body_mut().read_json()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_counted_as_they_go_by() {
        let mut csv = Lines { header: 1, ..Lines::default() };
        csv.read(b"slug,notes\r\na,\"two\r\nli");
        assert_eq!(csv.links(), 0);
        csv.read(b"nes, \"\"quoted\"\"\"\r\nb,\r\n");
        assert_eq!(csv.links(), 2);
        let mut json = Lines::default();
        json.read(b"{\"a\":\"\\\"\"}\n{}\n");
        assert_eq!(json.links(), 2);
    }
}
