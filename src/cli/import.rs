//! `slugline import`: imports a file of links into a service, through its API.

use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use reqwest::Method;
use reqwest::blocking::{Body, Response};
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use super::client::{ApiClient, Remote, Unreachable, data_of, errors_of, send};
use super::progress::{POLL_INTERVAL, bar};
use super::table::cell;
use crate::domain::command::OnConflict;
use crate::jobs::imports::MAX_FILE_BYTES;
use crate::jobs::imports::formats::Format;

/// The maximum number of rejected links shown, and of warnings.
const MAX_SHOWN: usize = 10;
/// The maximum number of retries of a poll while the service does not respond.
const MAX_RETRIES: u32 = 50;

/// `slugline import`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slugline import links.csv --dry-run
  slugline import shlink.csv --format shlink --on-conflict skip \\
    --rejects rejects.csv")]
pub struct ImportArgs {
    /// The file of links; `-` reads standard input
    file: PathBuf,
    /// Format of the file: csv, ndjson, bitly, dub, shlink, yourls or kutt [default: guessed]
    #[arg(long, value_parser = parse_format)]
    format: Option<Format>,
    /// Change nothing: only report what an import would do
    #[arg(long)]
    dry_run: bool,
    /// What to do with a link that exists, by its external id or slug: reject, skip or replace
    #[arg(long, value_parser = parse_on_conflict, default_value = "reject")]
    on_conflict: OnConflict,
    /// Put all links on this domain [default: where they were, if the workspace has that domain]
    #[arg(long)]
    domain: Option<String>,
    /// Folder of links for which the file names none
    #[arg(long)]
    folder: Option<String>,
    /// A tag to add to all links; can be repeated
    #[arg(long = "tag")]
    tags: Vec<String>,
    /// Write the rejected links to this file: as CSV if it ends in .csv, otherwise as NDJSON. Of a
    /// CSV file, it has all columns, so that it can be corrected and imported
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Write the import as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

fn parse_format(name: &str) -> Result<Format, String> {
    Format::parse(name).ok_or_else(|| format!("must be one of {}", Format::names()))
}

fn parse_on_conflict(name: &str) -> Result<OnConflict, String> {
    let found = OnConflict::EVERY.into_iter().find(|each| each.as_str() == name);
    found.ok_or_else(|| "must be one of reject, skip, replace".to_owned())
}

/// Uploads a file and waits until the service has imported it, with progress; fails if links were
/// rejected.
pub fn import(args: &ImportArgs, mut out: impl Write) -> anyhow::Result<()> {
    let client = ApiClient::remote(&args.remote)?;
    let (file, bytes) = open(&args.file)?;
    let bar = bar(bytes, "{bar:30} {bytes}/{total_bytes} sent");
    let request = client.request(Method::POST, "/imports").query(&parameters(args));
    let request = request.header(CONTENT_TYPE, "application/octet-stream");
    // Without a length, because that of a pipe is unknown.
    let begun = data_of(request.body(Body::new(bar.wrap_read(file))))?;
    bar.finish_and_clear();
    let job = watch(&client, &begun)?;
    if let Some(file) = &args.rejects {
        save_rejects(&client, &job, file)?;
    }
    if args.json {
        writeln!(out, "{job}")?;
    } else {
        report(&client, args, &job, &mut out)?;
    }
    if let Some(error) = job["error"].as_str() {
        bail!("the import failed: {error}");
    }
    match job["rejected"].as_u64().unwrap_or_default() {
        0 => Ok(()),
        rejected => bail!("{rejected} of {} links were rejected", job["rows"]),
    }
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

/// The file and its length.
fn open(path: &Path) -> anyhow::Result<(Box<dyn Read + Send>, u64)> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
        let length = bytes.len() as u64;
        return Ok((Box::new(io::Cursor::new(bytes)), length));
    }
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (length, file) = opened.with_context(|| format!("cannot read {}", path.display()))?;
    if path.is_dir() {
        bail!("cannot read {}: it is a folder", path.display());
    }
    // Checked before the upload: the response to a refused upload may be lost.
    if length > MAX_FILE_BYTES {
        bail!("{} is larger than {} MiB: split it", path.display(), MAX_FILE_BYTES >> 20);
    }
    Ok((Box::new(file), length))
}

/// Shows the progress of an import until it has ended.
fn watch(client: &ApiClient, begun: &Value) -> anyhow::Result<Value> {
    let id = begun["id"].as_str().context("the service did not start an import")?;
    let bar = bar(1_000, "{bar:30} {percent} % {msg}, {eta} left");
    let mut failures = 0;
    loop {
        let job = match client.get(&format!("/imports/{id}")) {
            Ok(job) => job,
            // The service may be restarting: the import continues with it.
            Err(error)
                if (error.is::<Unreachable>() || error.is::<reqwest::Error>())
                    && failures < MAX_RETRIES =>
            {
                failures += 1;
                std::thread::sleep(POLL_INTERVAL);
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
        std::thread::sleep(POLL_INTERVAL);
    }
}

fn save_rejects(client: &ApiClient, job: &Value, file: &Path) -> anyhow::Result<()> {
    let is_csv = file.extension().is_some_and(|ending| ending == "csv");
    let format = if is_csv { "csv" } else { "ndjson" };
    let mut rejects = remarks(client, job, "rejects", format)?;
    let shown = || format!("cannot write {}", file.display());
    let mut file = File::create(file).with_context(shown)?;
    io::copy(&mut rejects, &mut file)?;
    Ok(())
}

/// A part of an import's report: `rejects` or `warnings`.
fn remarks(client: &ApiClient, job: &Value, part: &str, format: &str) -> anyhow::Result<Response> {
    let id = job["id"].as_str().unwrap_or_default();
    let request = client.request(Method::GET, &format!("/imports/{id}/{part}"));
    send(request.query(&[("format", format)]))
}

/// Prints the first links of a part of an import's report.
fn show_remarks(
    client: &ApiClient,
    job: &Value,
    (part, field): (&str, &str),
    total: u64,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let lines = io::BufReader::new(remarks(client, job, part, "ndjson")?).lines();
    for line in lines.take(MAX_SHOWN) {
        let line: Value = serde_json::from_str(&line?)?;
        let slug = line["slug"].as_str().unwrap_or("-");
        let remarks = match &line[field] {
            Value::Object(errors) => errors_of(errors),
            other => vec![cell(other)],
        };
        writeln!(out, "row {} ({slug}): {}", line["row"], remarks.join("; "))?;
    }
    if total > MAX_SHOWN as u64 {
        let url = job[format!("{part}_url")].as_str().unwrap_or_default();
        writeln!(out, "… and {} more: {url}", total - MAX_SHOWN as u64)?;
    }
    Ok(())
}

fn report(
    client: &ApiClient,
    args: &ImportArgs,
    job: &Value,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    if args.dry_run {
        writeln!(out, "Nothing was changed. An import would result in:")?;
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
        ("ignored_columns", "ignored columns"),
        ("unknown_domains", "domains not in this workspace (links are on its default domain)"),
    ] {
        let names = names(field);
        if !names.is_empty() {
            writeln!(out, "{text}: {names}")?;
        }
    }
    match number("generated_slugs") {
        0 => {}
        generated => writeln!(out, "generated slugs: {generated}")?,
    }
    match &args.rejects {
        _ if number("rejected") == 0 => {}
        Some(file) => writeln!(out, "the rejected links are in {}", file.display())?,
        None => {
            show_remarks(client, job, ("rejects", "errors"), number("rejected"), out)?;
            writeln!(out, "`--rejects FILE` writes the rejected links to a file")?;
        }
    }
    if number("warnings") > 0 {
        writeln!(out, "imported with changes:")?;
        show_remarks(client, job, ("warnings", "warnings"), number("warnings"), out)?;
    }
    Ok(())
}
