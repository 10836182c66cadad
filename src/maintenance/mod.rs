//! `slugline log …`: looking at the logs; `slugline backup` and `slugline restore`: copies of
//! them. No service is needed, and but for the restore all of it works beside one.

mod backup;
mod manifest;
mod quarantine;
mod restore;

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use prost::Message;
use serde_json::{Value, json};

pub use backup::{BackupArgs, backup};
pub use restore::{RestoreArgs, restore};

use crate::domain::click::{AgentSeen, Click, kind};
use crate::domain::event::{Envelope, Event, LinkState};
use crate::domain::ids::{LinkId, TokenId, WorkspaceId};
use crate::log::{DiskStorage, LogView, Record, VerifyReport, verify};

/// `slugline log`
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Read both logs from end to end and report damage; fails if there is any
    Verify(VerifyArgs),
    /// Write a log's records as JSON lines
    Dump(DumpArgs),
    /// Give up a damaged record and all that follow; their files are kept
    Quarantine(quarantine::QuarantineArgs),
}

/// `slugline log verify`
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The folder of all data
    #[arg(long, env = "SLUGLINE_DATA_DIR", value_name = "FOLDER", default_value = "data")]
    data_dir: PathBuf,
    /// Report as JSON
    #[arg(long)]
    json: bool,
}

/// `slugline log dump`
#[derive(Debug, Args)]
pub struct DumpArgs {
    /// Which log
    #[arg(value_enum)]
    log: WhichLog,
    /// The folder of all data
    #[arg(long, env = "SLUGLINE_DATA_DIR", value_name = "FOLDER", default_value = "data")]
    data_dir: PathBuf,
    /// The first offset to write; the first that the log holds when absent
    #[arg(long, default_value_t = 0)]
    from: u64,
}

/// One of the two logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WhichLog {
    /// Changes of links and tokens.
    Mutations,
    /// Clicks, and user agents.
    Clicks,
}

impl WhichLog {
    const fn name(self) -> &'static str {
        match self {
            Self::Mutations => "mutations",
            Self::Clicks => "clicks",
        }
    }

    fn folder(self, data: &Path) -> anyhow::Result<PathBuf> {
        let folder = data.join("log").join(self.name());
        if !folder.is_dir() {
            bail!("there is no log in {}: is --data-dir right?", folder.display());
        }
        Ok(folder)
    }
}

/// Runs a `log` command, writing to `out`.
pub fn run(command: &LogCommand, out: impl Write) -> anyhow::Result<()> {
    let mut out = BufWriter::new(out);
    match command {
        LogCommand::Verify(args) => verify_logs(args, &mut out)?,
        LogCommand::Dump(args) => dump(args, &mut out)?,
        LogCommand::Quarantine(args) => quarantine::quarantine(args, &mut out)?,
    }
    Ok(out.flush()?)
}

fn verify_logs(args: &VerifyArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let mut reports = Vec::new();
    for log in [WhichLog::Mutations, WhichLog::Clicks] {
        reports.push((log, verify(&DiskStorage, &log.folder(&args.data_dir)?)?));
    }
    if args.json {
        let each = reports.iter().map(|(log, report)| (log.name().to_owned(), report_json(report)));
        writeln!(out, "{}", Value::Object(each.collect()))?;
    } else {
        for (log, report) in &reports {
            write_report(*log, report, out)?;
        }
    }
    out.flush()?;
    if reports.iter().any(|(_, report)| !report.is_sound()) {
        bail!("the log is damaged");
    }
    Ok(())
}

fn write_report(log: WhichLog, report: &VerifyReport, out: &mut impl Write) -> std::io::Result<()> {
    let state = if report.is_sound() { "sound" } else { "DAMAGED" };
    let (first, last) = (report.first_offset.unwrap_or(0), report.last_offset.unwrap_or(0));
    writeln!(
        out,
        "{}: {state}, {} records (offsets {first} to {last}) in {} segments, {} bytes",
        log.name(),
        report.records,
        report.segments,
        report.bytes
    )?;
    for (kind, count) in &report.kinds {
        writeln!(out, "  {:<18}{count:>12}", kind_name(*kind))?;
    }
    if report.torn_tail_bytes > 0 {
        writeln!(
            out,
            "  {} bytes of a torn end, never synced: cut off at the next start",
            report.torn_tail_bytes
        )?;
    }
    for problem in &report.problems {
        writeln!(
            out,
            "  {} at byte {}, where offset {} belongs: {}",
            problem.file.display(),
            problem.position,
            problem.offset,
            problem.what
        )?;
    }
    Ok(())
}

fn report_json(report: &VerifyReport) -> Value {
    let kinds = report.kinds.iter().map(|(kind, count)| (kind_name(*kind), json!(count)));
    let problems = report.problems.iter().map(|problem| {
        json!({
            "file": problem.file, "position": problem.position,
            "offset": problem.offset, "what": problem.what,
        })
    });
    json!({
        "sound": report.is_sound(),
        "segments": report.segments,
        "bytes": report.bytes,
        "records": report.records,
        "first_offset": report.first_offset,
        "last_offset": report.last_offset,
        "kinds": kinds.collect::<serde_json::Map<_, _>>(),
        "torn_tail_bytes": report.torn_tail_bytes,
        "problems": problems.collect::<Vec<_>>(),
    })
}

fn kind_name(number: u16) -> String {
    let name = match number {
        10 => "WorkspaceCreated",
        11 => "TokenCreated",
        12 => "TokenRevoked",
        20 => "LinkCreated",
        21 => "LinkChanged",
        22 => "LinkDeleted",
        kind::CLICK => "Click",
        kind::AGENT_SEEN => "AgentSeen",
        other => return format!("kind {other}"),
    };
    name.to_owned()
}

fn dump(args: &DumpArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let folder = args.log.folder(&args.data_dir)?;
    let mut reader = LogView::open(Arc::new(DiskStorage), &folder)?.read_from(args.from);
    while let Some(record) = reader.next_record()? {
        let mut line = match args.log {
            WhichLog::Mutations => mutation_json(&record)?,
            WhichLog::Clicks => click_json(&record)?,
        };
        if let Some(fields) = line.as_object_mut() {
            fields.insert("offset".to_owned(), record.offset.into());
            fields.insert("kind".to_owned(), kind_name(record.kind).into());
        }
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn mutation_json(record: &Record) -> anyhow::Result<Value> {
    let envelope = Envelope::decode(record.payload.as_ref())?;
    let event = match &envelope.event {
        Some(Event::WorkspaceCreated(created)) => json!({ "name": created.name }),
        // The secret's hash is nobody's business.
        Some(Event::TokenCreated(token)) => json!({
            "token": TokenId::from_bytes(&token.id)?.to_string(),
            "name": token.name, "abilities": token.abilities,
        }),
        Some(Event::TokenRevoked(revoked)) => {
            json!({ "token": TokenId::from_bytes(&revoked.token)?.to_string() })
        }
        Some(Event::LinkCreated(link) | Event::LinkChanged(link)) => link_json(link)?,
        Some(Event::LinkDeleted(deleted)) => {
            json!({ "link": LinkId::from_bytes(&deleted.link)?.to_string() })
        }
        None => Value::Null,
    };
    let actor = TokenId::from_bytes(&envelope.token).ok().map(|token| token.to_string());
    Ok(json!({
        "at_ms": envelope.at_ms,
        "workspace": WorkspaceId::from_bytes(&envelope.workspace)?.to_string(),
        "actor": actor,
        "idempotency_key": envelope.idempotency.map(|idempotency| idempotency.key),
        "event": event,
    }))
}

fn link_json(link: &LinkState) -> anyhow::Result<Value> {
    Ok(json!({
        "link": LinkId::from_bytes(&link.id)?.to_string(),
        "version": link.version,
        "domain": link.domain,
        "slug": link.slug,
        "destination": link.destination,
        "title": link.title,
        "utm_source": link.utm_source,
        "utm_medium": link.utm_medium,
        "utm_campaign": link.utm_campaign,
        "utm_content": link.utm_content,
        "utm_term": link.utm_term,
        "forward_query": !link.query_dropped,
        "created_at_ms": link.created_at_ms,
        "updated_at_ms": link.updated_at_ms,
    }))
}

fn click_json(record: &Record) -> anyhow::Result<Value> {
    // 64-bit hashes are written as text: many readers of JSON round large numbers.
    if record.kind == kind::AGENT_SEEN {
        let agent = AgentSeen::decode(record.payload.as_ref())?;
        return Ok(json!({
            "at_ms": agent.at_ms,
            "agent": format!("{:016x}", agent.id),
            "user_agent": agent.user_agent,
            "browser": agent.browser, "browser_version": agent.browser_version,
            "os": agent.os, "os_version": agent.os_version,
            "device": agent.device().as_str(),
            "bot": agent.bot().as_str(), "bot_pattern": agent.bot_pattern,
        }));
    }
    let click = Click::decode(record.payload.as_ref())?;
    Ok(json!({
        "at_ms": click.at_ms,
        "workspace": WorkspaceId::from_bytes(&click.workspace)?.to_string(),
        "link": LinkId::from_bytes(&click.link)?.to_string(),
        "link_version": click.link_version,
        "domain": click.domain,
        "agent": format!("{:016x}", click.agent),
        "visitor": format!("{:016x}", click.visitor),
        "browser": click.browser, "browser_version": click.browser_version,
        "os": click.os, "os_version": click.os_version,
        "device": click.device().as_str(),
        "bot": click.bot().as_str(),
        "country": click.country, "region": click.region, "city": click.city,
        "referrer": click.referrer, "referrer_url": click.referrer_url,
        "language": click.language,
        "head": click.head, "prefetch": click.prefetch,
    }))
}
