//! `slugline backup`: copies the logs while they are being written, and what only ClickHouse has.

mod manifest;
mod restore;
mod target;

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;

pub use manifest::copy;
use manifest::{DROPPED, FileCopy, KEYS, LOGS, LogCopy, ROWS, hex};
pub use restore::{RestoreArgs, restore};
use target::BackupTarget;

use super::client::ApiClient;
use super::offline::{log_folder, with_analytics};
use crate::config::{ServeArgs, Settings};
use crate::log::{DiskStorage, LogView, Tail, verify};
use crate::projections::clickhouse::backup::EXPORTED;

/// Maximum number of attempts to copy a log, if its oldest segments are dropped meanwhile.
const TRIES: u32 = 5;

/// `slugline backup`
#[derive(Debug, Args)]
#[command(
    long_about = "Copies the logs consistently, with or without a running service, and the keys of \
    the personal data in them (personal.keys). Everything else is rebuilt from the logs: the index \
    and the analytics are projections of them. Clicks that --clicks-retention has dropped from the \
    log are copied from ClickHouse. A later backup into the same folder copies only what is new or \
    changed, and replaces the earlier one once it is complete. The visitors' key (visitor.salt) is \
    not copied: it is destroyed when its period ends, and a copy would undo that; after a restore, \
    the visitors of the current period are counted again. The keys of sessions (jwt.keys) are not \
    copied either: users sign in again. Keep backups private, and not for longer than needed: they \
    bring back the personal data of users deleted since.",
    after_help = "Examples:
  slugline backup /backup/slugline --data-dir /var/lib/slugline
  slugline backup /backup/slugline --logs-only"
)]
pub struct BackupArgs {
    /// The target: a new or an empty folder, or that of an earlier backup
    folder: PathBuf,
    /// Do not copy the clicks that only ClickHouse has
    #[arg(long)]
    logs_only: bool,
    #[command(flatten)]
    serve: ServeArgs,
}

/// Creates a backup, and prints its content to `out`.
pub fn backup(args: BackupArgs, mut out: impl Write) -> anyhow::Result<()> {
    let settings = args.serve.settings()?;
    let (data, folder) = (settings.data_dir.as_path(), args.folder.as_path());
    log_folder(data, LOGS[0])?;
    let mut target = BackupTarget::open(folder)?;
    let (logs, mut files, is_exported) = copy_all(&settings, args.logs_only, &mut target)?;
    for log in &logs {
        writeln!(out, "{}: offsets {} to {}", log.name, log.first, log.last)?;
    }
    if is_exported {
        let exported = data.join(EXPORTED);
        let rows = copy_rows(&exported, &mut target)?;
        writeln!(out, "clicks that only ClickHouse has: {} files", rows.len())?;
        files.extend(rows);
        fs::remove_dir_all(&exported)?;
    }
    if data.join(KEYS).exists() {
        files.push(target.add(&data.join(KEYS), KEYS, None)?);
    }
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let (count, (kept, kept_bytes)) = (files.len(), target.kept);
    target.finish(logs, files)?;
    Ok(writeln!(
        out,
        "{bytes} bytes in {count} files in {}; {kept_bytes} bytes in {kept} files were there already",
        folder.display()
    )?)
}

/// Exports the rows that only ClickHouse has, if there are any, and copies the logs. Returns whether
/// there are any.
fn copy_all(
    settings: &Settings,
    logs_only: bool,
    target: &mut BackupTarget,
) -> anyhow::Result<(Vec<LogCopy>, Vec<FileCopy>, bool)> {
    let clicks = log_folder(&settings.data_dir, LOGS[0])?;
    for _ in 0..TRIES {
        // Before the logs are copied: then they have all that the rows reflect.
        let is_exported = !logs_only && first_offset(&clicks)? > 1;
        let exported = is_exported.then(|| export_rows(settings)).transpose()?;
        let (logs, files) = copy_logs(&settings.data_dir, target)?;
        let first = first_offset(&target.root().join("log").join(LOGS[0]))?;
        if logs_only || first <= 1 || exported == Some(first) {
            return Ok((logs, files, is_exported));
        }
        target.clear()?;
    }
    bail!("{}: clicks are dropped faster than they can be copied", clicks.display())
}

/// Writes the rows that only ClickHouse has into the data folder, through the running service if
/// there is one. Returns the first offset that the log has.
fn export_rows(settings: &Settings) -> anyhow::Result<u64> {
    let exported = match ApiClient::local(&settings.data_dir)? {
        Some(client) => {
            let first = client.post("/admin/backup")?["first"].as_u64();
            first.context("the service's answer has no offset")
        }
        None => with_analytics(settings, |operator, runtime| {
            Ok(runtime.block_on(operator.export_rows())?.first)
        }),
    };
    exported.context(
        "cannot export the clicks that only ClickHouse has (`--logs-only` leaves them out)",
    )
}

/// Copies the exported rows.
fn copy_rows(exported: &Path, target: &mut BackupTarget) -> anyhow::Result<Vec<FileCopy>> {
    let folder = target.root().join(ROWS);
    fs::create_dir(&folder)?;
    let mut files = Vec::new();
    for entry in fs::read_dir(exported)? {
        let (path, name) = (entry?.path(), format!("{ROWS}/"));
        let name = name + &path.file_name().unwrap_or_default().to_string_lossy();
        files.push(target.add(&path, &name, None).with_context(|| path.display().to_string())?);
    }
    File::open(&folder)?.sync_all()?;
    Ok(files)
}

fn first_offset(log: &Path) -> anyhow::Result<u64> {
    Ok(LogView::open(Arc::new(DiskStorage), log)?.first)
}

/// Copies both logs.
fn copy_logs(
    data: &Path,
    target: &mut BackupTarget,
) -> anyhow::Result<(Vec<LogCopy>, Vec<FileCopy>)> {
    let (mut logs, mut files) = (Vec::new(), Vec::new());
    for name in LOGS {
        let (log, copied) = copy_log(data, target, name)?;
        logs.push(log);
        files.extend(copied);
    }
    File::open(target.root().join("log"))?.sync_all()?;
    Ok((logs, files))
}

/// Copies one log, and verifies the copy.
fn copy_log(
    data: &Path,
    backup: &mut BackupTarget,
    name: &str,
) -> anyhow::Result<(LogCopy, Vec<FileCopy>)> {
    let source = log_folder(data, name)?;
    let target = backup.root().join("log").join(name);
    for _ in 0..TRIES {
        fs::create_dir_all(&target)?;
        let copied = copy_segments(data, &source, backup, name)?;
        let Some((tail, files)) = copied else {
            fs::remove_dir_all(&target)?;
            continue;
        };
        File::open(&target)?.sync_all()?;
        let report = verify(&DiskStorage, &target)?;
        if let Some(problem) = report.problems.first() {
            bail!(
                "{} is damaged at offset {}: {}; run `slugline log verify`",
                source.display(),
                problem.offset,
                problem.what
            );
        }
        let log = LogCopy {
            name: name.to_owned(),
            id: hex(&report.id.unwrap_or_default()),
            first: report.first_offset.unwrap_or(0),
            last: tail.last,
        };
        return Ok((log, files));
    }
    bail!("{}: its oldest segments are dropped faster than they can be copied", source.display())
}

/// Copies a log's files up to its current end; `None` if some were dropped meanwhile.
fn copy_segments(
    data: &Path,
    source: &Path,
    backup: &mut BackupTarget,
    name: &str,
) -> anyhow::Result<Option<(Tail, Vec<FileCopy>)>> {
    let view = LogView::open(Arc::new(DiskStorage), source)?;
    let Some(tail) = view.tail()? else {
        bail!("{} has no segments", source.display());
    };
    let mut wanted = Vec::new();
    for entry in fs::read_dir(source)? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        let first = file.strip_suffix(".seg").and_then(|digits| digits.parse::<u64>().ok());
        match first {
            Some(first) if first < view.first || first > tail.segment => {}
            Some(first) if first == tail.segment => wanted.push((file, Some(tail.bytes))),
            Some(_) => wanted.push((file, None)),
            None if file == "first" => wanted.push((file, None)),
            None => {}
        }
    }
    let mut files = Vec::new();
    for (file, bytes) in wanted {
        match backup.add(&source.join(&file), &format!("log/{name}/{file}"), bytes) {
            Ok(copied) => files.push(copied),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| source.join(&file).display().to_string());
            }
        }
    }
    // The tally is written before clicks are dropped, and only grows.
    let tally = data.join(DROPPED);
    if name == "clicks" && tally.exists() {
        let _of_an_earlier_try = fs::remove_file(backup.root().join(DROPPED));
        files.push(backup.add(&tally, DROPPED, None)?);
    }
    // If segments were dropped meanwhile, the file `first` and the segments may not match.
    let now = LogView::open(Arc::new(DiskStorage), source)?;
    Ok((now.first == view.first).then_some((tail, files)))
}
