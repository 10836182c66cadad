//! `slugline restore`: creates a data folder from a backup.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use super::manifest::{DROPPED, KEYS, LOGS, Manifest, ROWS, copy, sha256};
use crate::app::permissions::restrict;
use crate::log::{DataLock, DiskStorage, verify};
use crate::projections::clickhouse::backup::{RESTORED, is_exported_name};

/// `slugline restore`
#[derive(Debug, Args)]
#[command(
    long_about = "Verifies a backup and creates a data folder from it. The index and the analytics \
    are rebuilt at the next start. The backup brings back the personal data of users deleted since \
    it was made: delete them again.",
    after_help = "Example:
  slugline restore /backup/slugline --data-dir /var/lib/slugline"
)]
pub struct RestoreArgs {
    /// The backup
    folder: PathBuf,
    /// The data folder, which must not contain a log yet
    #[arg(long, env = "SLUGLINE_DATA_DIR", value_name = "FOLDER", default_value = "data")]
    data_dir: PathBuf,
}

/// Verifies a backup, creates a data folder from it, and prints its content to `out`.
pub fn restore(args: &RestoreArgs, mut out: impl Write) -> anyhow::Result<()> {
    let (backup, data) = (args.folder.as_path(), args.data_dir.as_path());
    let manifest = Manifest::read(backup)?;
    let backup = &backup.join(&manifest.root);
    check(backup, &manifest)?;
    let _lock = DataLock::acquire(data)?;
    restrict(data);
    let log = data.join("log");
    if log.exists() {
        bail!("{} already exists: restore into another folder", log.display());
    }
    let parts = data.join("log.restoring");
    let keys = data.join(KEYS);
    if keys.exists() && !parts.exists() {
        bail!("{} already exists: restore into another folder", keys.display());
    }
    if parts.exists() {
        // Left by an interrupted restore.
        fs::remove_dir_all(&parts)?;
    }
    for name in LOGS {
        fs::create_dir_all(parts.join(name))?;
    }
    let rows = data.join(RESTORED);
    if rows.exists() {
        fs::remove_dir_all(&rows)?;
    }
    fs::create_dir(&rows)?;
    for file in &manifest.files {
        let target = match file.path.split_once('/') {
            Some(("log", path)) => parts.join(path),
            Some((_rows, name)) => rows.join(name),
            None => data.join(&file.path),
        };
        let _of_an_earlier_try = fs::remove_file(&target);
        copy(&backup.join(&file.path), &target, Some(file.bytes))
            .with_context(|| target.display().to_string())?;
    }
    for name in LOGS {
        File::open(parts.join(name))?.sync_all()?;
    }
    File::open(&rows)?.sync_all()?;
    File::open(&parts)?.sync_all()?;
    fs::rename(&parts, &log)?;
    File::open(data)?.sync_all()?;
    for log in &manifest.logs {
        writeln!(out, "{}: offsets {} to {}", log.name, log.first, log.last)?;
    }
    Ok(writeln!(
        out,
        "restored into {}; the index and the analytics are rebuilt at the next start",
        data.display()
    )?)
}

/// Verifies each file against the manifest, and each log as a whole.
fn check(backup: &Path, manifest: &Manifest) -> anyhow::Result<()> {
    for file in &manifest.files {
        check_path(&file.path)?;
        let path = backup.join(&file.path);
        let length = fs::metadata(&path).with_context(|| path.display().to_string())?.len();
        if length != file.bytes {
            bail!("{} has {length} bytes instead of {}", path.display(), file.bytes);
        }
        if sha256(&path, file.bytes)? != file.sha256 {
            bail!("{} was modified: its SHA-256 differs", path.display());
        }
    }
    let known: BTreeSet<_> = manifest.files.iter().map(|file| backup.join(&file.path)).collect();
    for name in LOGS {
        let folder = backup.join("log").join(name);
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if !known.contains(&path) {
                bail!("{} does not belong to this backup", path.display());
            }
        }
        let report = verify(&DiskStorage, &folder)?;
        if let Some(problem) = report.problems.first() {
            bail!("{} is damaged: {}", problem.file.display(), problem.what);
        }
        let last = manifest.logs.iter().find(|log| log.name == name).map(|log| log.last);
        if last != Some(report.last_offset.unwrap_or(0)) {
            bail!("the last offset of {} differs from the manifest", folder.display());
        }
    }
    Ok(())
}

/// A manifest must only name files of a backup.
fn check_path(path: &str) -> anyhow::Result<()> {
    let parts: Vec<_> = path.split('/').collect();
    let is_known = match parts.as_slice() {
        ["log", name, file] => {
            let is_segment = file
                .strip_suffix(".seg")
                .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
            LOGS.contains(name) && (is_segment || *file == "first")
        }
        [ROWS, file] => is_exported_name(file),
        [file] => [DROPPED, KEYS].contains(file),
        _ => false,
    };
    if is_known {
        Ok(())
    } else {
        bail!("the manifest contains `{path}`, which is not a file of a backup")
    }
}
