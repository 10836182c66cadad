//! Repairs the engine's deduplication logs before it starts.
//!
//! A `MergeTree` table without replication remembers the blocks that were inserted in text files,
//! one line a block: `1`, the part's name and the block's ID, separated by tabs. An insert appends
//! its line and *then* renames its part into place. An engine killed in between has a line without
//! a part, and would drop the block when it is sent again, so that its rows are lost.
//!
//! slugline inserts one block at a time, so only the last line of a table can lack its part. It is
//! removed if no part contains its block.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// The number of bytes read from the end of a file; a line is much shorter.
const TAIL_BYTES: u64 = 4096;

/// Removes the last line of each table's deduplication log if the table lacks its part. To be called
/// while no engine uses the folder.
///
/// # Errors
///
/// `ResourceBusy` if an engine uses the folder; else what the file system reports.
pub(super) fn repair(data_dir: &Path) -> io::Result<()> {
    // The engine locks this file while it runs. A killed one may take a moment to be gone.
    let status = OpenOptions::new().append(true).create(true).open(data_dir.join("status"))?;
    status.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::ErrorKind::ResourceBusy.into(),
        TryLockError::Error(error) => error,
    })?;
    for prefix in folders(&data_dir.join("store"))? {
        for table in folders(&prefix)? {
            if let Some(part) = repair_table(&table)? {
                tracing::info!(part, "an insert was interrupted; it can be sent again");
            }
        }
    }
    Ok(())
}

/// Repairs one table. Returns the name of the missing part, if any.
fn repair_table(table: &Path) -> io::Result<Option<String>> {
    let logs = table.join("deduplication_logs");
    let number = |path: &PathBuf| {
        let number = path.file_stem()?.to_str()?.strip_prefix("deduplication_log_")?;
        number.parse::<u64>().ok()
    };
    let mut files: Vec<_> =
        entries(&logs)?.into_iter().filter_map(|path| Some((number(&path)?, path))).collect();
    files.sort_unstable();
    // The engine starts a new file when one is full, so the last one may be empty.
    for (_, path) in files.iter().rev() {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let Some((start, line)) = last_line(&mut file)? else { continue };
        let mut fields = line.split('\t');
        let (Some("1"), Some(part)) = (fields.next(), fields.next()) else { return Ok(None) };
        let Some(wanted) = Part::parse(part) else { return Ok(None) };
        let is_present = folders(table)?.iter().any(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.and_then(Part::parse).is_some_and(|present| present.contains(&wanted))
        });
        if is_present {
            return Ok(None);
        }
        file.set_len(start)?;
        file.sync_all()?;
        return Ok(Some(part.to_owned()));
    }
    Ok(None)
}

/// The last line of a file and the position where it starts; `None` if the file is empty.
fn last_line(file: &mut File) -> io::Result<Option<(u64, String)>> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let tail = String::from_utf8_lossy(&tail);
    let line = tail.trim_end_matches('\n').rsplit('\n').next().unwrap_or_default();
    let start = tail.trim_end_matches('\n').len() - line.len();
    Ok((!line.is_empty()).then(|| (from + start as u64, line.to_owned())))
}

/// The blocks of a part, from its name: `PARTITION_FIRST_LAST_LEVEL`, and `_MUTATION` if it was
/// mutated.
#[derive(Debug, PartialEq, Eq)]
struct Part<'name> {
    partition: &'name str,
    first: u64,
    last: u64,
}

impl<'name> Part<'name> {
    fn parse(name: &'name str) -> Option<Self> {
        let mut fields = name.split('_');
        let partition = fields.next().filter(|partition| !partition.is_empty())?;
        let first = fields.next()?.parse().ok()?;
        let last = fields.next()?.parse().ok()?;
        let rest: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
        matches!(rest.len(), 1 | 2).then_some(Self { partition, first, last })
    }

    fn contains(&self, other: &Self) -> bool {
        self.partition == other.partition && self.first <= other.first && other.last <= self.last
    }
}

/// The entries of a folder; none if it does not exist.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The folders in a folder.
fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "1\t202611_1_1_0\t202611_7_8\n1\t202610_2_2_0\t202610_9_10\n";

    /// A table with this deduplication log and these folders; what is left of the log.
    fn repaired(logs: &[&str], parts: &[&str]) -> String {
        let data = tempfile::tempdir().unwrap();
        let table = data.path().join("store/abc/abc-1");
        let folder = table.join("deduplication_logs");
        fs::create_dir_all(&folder).unwrap();
        for (number, text) in logs.iter().enumerate() {
            fs::write(folder.join(format!("deduplication_log_{}.txt", number + 9)), text).unwrap();
        }
        for part in parts {
            fs::create_dir(table.join(part)).unwrap();
        }
        for _ in 0..2 {
            // A child that another test starts has the lock, too, until it executes its program.
            while let Err(error) = repair(data.path()) {
                assert_eq!(error.kind(), io::ErrorKind::ResourceBusy, "{error}");
                std::thread::yield_now();
            }
        }
        let text =
            |number| fs::read_to_string(folder.join(format!("deduplication_log_{number}.txt")));
        (0..logs.len()).map(|number| text(number + 9).unwrap()).collect()
    }

    #[test]
    fn a_last_line_without_its_part_is_removed() {
        let first = LINES.split_inclusive('\n').next().unwrap();
        let written = ["202611_1_1_0", "tmp_insert_202610_2_2_0", "202611_1_5_1", "detached"];
        assert_eq!(repaired(&[LINES], &written), first);
        assert_eq!(repaired(&[LINES, ""], &written), first, "a new file was started");
        let one = "1\tall_1_1_0\tall_7_8\n";
        assert_eq!(repaired(&[one], &[]), "");
    }

    #[test]
    fn a_line_whose_block_is_in_a_part_is_kept() {
        for part in ["202610_2_2_0", "202610_1_2_1", "202610_2_2_0_3"] {
            assert_eq!(repaired(&[LINES], &["202611_1_1_0", part]), LINES, "{part}");
        }
        let dropped = "1\t202610_2_2_0\t202610_9_10\n2\t202610_2_2_0\t202610_9_10\n";
        assert_eq!(repaired(&[dropped], &[]), dropped);
    }

    #[test]
    fn the_folder_of_a_running_engine_is_left_alone() {
        let data = tempfile::tempdir().unwrap();
        repair(data.path()).unwrap();
        let engine = File::open(data.path().join("status")).unwrap();
        engine.lock().unwrap();
        assert_eq!(repair(data.path()).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
    }
}
