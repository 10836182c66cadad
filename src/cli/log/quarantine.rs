//! `slugline log quarantine`: discards the records from a damaged one on, and keeps the files.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::WhichLog;
use crate::cli::backup::copy;
use crate::cli::offline::log_folder;
use crate::log::{DataLock, DiskStorage, Problem, verify};

/// The file next to the segments that records that there were more records.
const WATERMARK: &str = "watermark";
/// The size of a segment's header.
const HEADER_BYTES: u64 = 36;

/// `slugline log quarantine`
#[derive(Debug, Args)]
#[command(
    long_about = "A log with a damaged record does not open, so that nothing is lost \
    silently. Restore a backup if there is one. If not, this discards the damaged record and all \
    that follow: their files are moved into another folder, and the intact records before \
    are kept. Without --yes, it only prints what it would do.",
    after_help = "Examples:
  slugline log quarantine clicks --data-dir /var/lib/slugline
  slugline log quarantine clicks --data-dir /var/lib/slugline --yes"
)]
pub struct QuarantineArgs {
    /// The log
    #[arg(value_enum)]
    log: WhichLog,
    /// Carry it out
    #[arg(long)]
    yes: bool,
    /// The data folder
    #[arg(long, env = "SLUGLINE_DATA_DIR", value_name = "FOLDER", default_value = "data")]
    data_dir: PathBuf,
}

/// Moves damaged files away, and prints to `out` what was discarded.
pub fn quarantine(args: &QuarantineArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let folder = log_folder(&args.data_dir, args.log.as_str())?;
    let _lock = DataLock::acquire(&args.data_dir)?;
    let report = verify(&DiskStorage, &folder)?;
    let Some(problem) = report.problems.first() else {
        return Ok(writeln!(out, "{}: sound, nothing to do", args.log.as_str())?);
    };
    let moved = files_from(&folder, problem)?;
    writeln!(
        out,
        "{}: {} at byte {}: {}",
        args.log.as_str(),
        problem.file.display(),
        problem.position,
        problem.what
    )?;
    let known = report.last_offset.filter(|last| *last > problem.offset);
    let known = known.map_or_else(String::new, |last| format!(", at least to {last}"));
    writeln!(out, "discarded: the records from offset {} on{known}", problem.offset)?;
    if !args.yes {
        for file in &moved {
            writeln!(out, "would be moved: {}", file.display())?;
        }
        return Ok(writeln!(out, "nothing was changed; use --yes to carry it out")?);
    }
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let target = args.data_dir.join(format!("quarantine-{now}")).join(args.log.as_str());
    move_all(&folder, &target, &moved, problem)?;
    Ok(writeln!(out, "moved to {}", target.display())?)
}

/// The segment with the problem, those after it, and the watermark.
fn files_from(folder: &Path, problem: &Problem) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_segment = path.extension().is_some_and(|ending| ending == "seg");
        let is_watermark = path.file_name().is_some_and(|name| name == WATERMARK);
        if is_watermark || (is_segment && path >= problem.file) {
            files.push(path);
        }
    }
    // Segments are named by their first offset, and the last is moved first: an interruption leaves
    // the damage in place.
    files.sort_unstable_by(|one, other| other.cmp(one));
    Ok(files)
}

fn move_all(
    folder: &Path,
    target: &Path,
    files: &[PathBuf],
    problem: &Problem,
) -> anyhow::Result<()> {
    fs::create_dir_all(target)?;
    let kept = folder.join("kept.new");
    let keeps = problem.position > HEADER_BYTES && problem.file.exists();
    if keeps {
        let _of_an_earlier_try = fs::remove_file(&kept);
        copy(&problem.file, &kept, Some(problem.position))
            .with_context(|| problem.file.display().to_string())?;
    }
    for file in files {
        let name = file.file_name().unwrap_or_default();
        fs::rename(file, target.join(name)).with_context(|| file.display().to_string())?;
    }
    if keeps {
        fs::rename(&kept, &problem.file)?;
    }
    File::open(target)?.sync_all()?;
    Ok(File::open(folder)?.sync_all()?)
}
