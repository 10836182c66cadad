//! `slugline backup`: copies the logs while they are being written.

mod manifest;
mod restore;

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;

pub use manifest::copy;
use manifest::{DROPPED, FileCopy, KEYS, LOGS, LogCopy, Manifest, hex};
pub use restore::{RestoreArgs, restore};

use crate::app::permissions::restrict;
use crate::log::{DiskStorage, LogView, Tail, verify};

/// Maximum number of attempts to copy a log, if its oldest segments are dropped meanwhile.
const TRIES: u32 = 5;

/// `slugline backup`
#[derive(Debug, Args)]
#[command(
    long_about = "Copies the logs consistently, with or without a running service, and the keys of \
    the personal data in them (personal.keys). Everything else is rebuilt from the logs: the index \
    and the analytics are projections of them. The visitors' key (visitor.salt) is not copied: it \
    is destroyed when its period ends, and a copy would undo that; after a restore, the visitors \
    of the current period are counted again. The keys of sessions (jwt.keys) are not copied \
    either: users sign in again. Keep backups private, and not for longer than needed: they bring \
    back the personal data of users deleted since."
)]
pub struct BackupArgs {
    /// The target: a new or an empty folder
    folder: PathBuf,
    /// The data folder
    #[arg(long, env = "SLUGLINE_DATA_DIR", value_name = "FOLDER", default_value = "data")]
    data_dir: PathBuf,
}

/// Creates a backup, and prints its content to `out`.
pub fn backup(args: &BackupArgs, mut out: impl Write) -> anyhow::Result<()> {
    let (data, folder) = (args.data_dir.as_path(), args.folder.as_path());
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    if fs::read_dir(folder)?.next().is_some() {
        bail!("{} is not empty", folder.display());
    }
    restrict(folder);
    let (mut logs, mut files) = (Vec::new(), Vec::new());
    for name in LOGS {
        let (log, copied) = copy_log(data, folder, name)?;
        writeln!(out, "{name}: offsets {} to {}, {} files", log.first, log.last, copied.len())?;
        logs.push(log);
        files.extend(copied);
    }
    if data.join(KEYS).exists() {
        let (bytes, sha256) = copy(&data.join(KEYS), &folder.join(KEYS), None)?;
        files.push(FileCopy { path: KEYS.to_owned(), bytes, sha256 });
    }
    File::open(folder)?.sync_all()?;
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    Manifest::new(logs, files).write(folder)?;
    Ok(writeln!(out, "{bytes} bytes in {}", folder.display())?)
}

/// Copies one log, and verifies the copy.
fn copy_log(data: &Path, folder: &Path, name: &str) -> anyhow::Result<(LogCopy, Vec<FileCopy>)> {
    let source = data.join("log").join(name);
    if !source.is_dir() {
        bail!("{} contains no log; check --data-dir", source.display());
    }
    let target = folder.join("log").join(name);
    for _ in 0..TRIES {
        fs::create_dir_all(&target)?;
        let copied = copy_segments(data, &source, &target, name)?;
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
    target: &Path,
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
        match copy(&source.join(&file), &target.join(&file), bytes) {
            Ok((bytes, sha256)) => {
                files.push(FileCopy { path: format!("log/{name}/{file}"), bytes, sha256 });
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| source.join(&file).display().to_string());
            }
        }
    }
    // The tally is written before clicks are dropped, and only grows.
    let tally = data.join(DROPPED);
    if name == "clicks" && tally.exists() {
        let folder = target.ancestors().nth(2).unwrap_or(target);
        let copied = folder.join(DROPPED);
        let _of_an_earlier_try = fs::remove_file(&copied);
        let (bytes, sha256) = copy(&tally, &copied, None)?;
        files.push(FileCopy { path: DROPPED.to_owned(), bytes, sha256 });
    }
    // If segments were dropped meanwhile, the file `first` and the segments may not match.
    let now = LogView::open(Arc::new(DiskStorage), source)?;
    Ok((now.first == view.first).then_some((tail, files)))
}
