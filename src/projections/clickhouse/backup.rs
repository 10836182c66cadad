//! Backups of the rows that only ClickHouse has, because the log has dropped their clicks.
//!
//! An export writes them into a folder, together with all amendments, as one file per table, and
//! one per month of clicks. No amendment is applied meanwhile, so the files fit together. The log is
//! to be copied afterwards: then it has each amendment that the rows reflect.
//!
//! An import is like a rebuild: it fills tables that are not in use from the files, copies them to
//! the next generation, which gets the rest from the log, and switches to that. Whatever interrupts
//! it, the next start imports again from the beginning.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clickhouse::Client;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ProjectionError;
use super::generation::Generation;

/// The folder of an export in the data folder.
pub const EXPORTED: &str = "clickhouse.exported";
/// The folder in the data folder from which the next start imports.
pub const RESTORED: &str = "clickhouse.restored";
/// The description of an export in its folder.
const DESCRIPTION: &str = "rows.json";
/// The ending of the files of rows: ClickHouse's format `Native`. Compressed here: of what ClickHouse
/// compresses, nobody can tell that it ends with an error.
const ENDING: &str = "native.gz";
/// The tables besides `clicks`, in whose order rows are exported and the same rows give the same
/// file.
const TABLES: [(&str, &str); 6] = [
    ("agents", "agent_id, seen_at"),
    ("blocked", "log_offset"),
    ("forgotten", "log_offset, link_id"),
    ("removed", "forgotten_through, workspace_id, day"),
    ("reclassified", "log_offset, agent_id"),
    ("amended", "what, through, at"),
];
/// How long a part of a file may take.
const TIMEOUT: Duration = Duration::from_secs(600);
const CHUNK_BYTES: usize = 1 << 20;

/// The description of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedRows {
    log_id: Uuid,
    /// The first offset that the log has. The clicks before it are in the files.
    pub first: u64,
}

impl ExportedRows {
    /// Those of a log whose first offset is `first`.
    pub(super) const fn of_log(log_id: [u8; 16], first: u64) -> Self {
        Self { log_id: Uuid::from_bytes(log_id), first }
    }

    /// Reads the description in a folder; `None` if there is none.
    pub fn read(folder: &Path) -> Result<Option<Self>, ProjectionError> {
        let path = folder.join(DESCRIPTION);
        let read = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(std::io::Error::from),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(error),
        };
        read.map(Some).map_err(|error| ProjectionError::Backup(path, error))
    }

    /// Removes a folder with rows; the description first, without which it has none.
    pub fn remove(folder: &Path) -> Result<(), ProjectionError> {
        let described = fs::remove_file(folder.join(DESCRIPTION));
        let removed = described.and_then(|()| fs::remove_dir_all(folder));
        removed.map_err(|error| ProjectionError::Backup(folder.to_owned(), error))
    }
}

/// Whether an export may have a file of this name.
pub fn is_exported_name(name: &str) -> bool {
    let table = name.strip_suffix(ENDING).and_then(|name| name.strip_suffix('.'));
    let is_month =
        |month: &str| month.len() == 6 && month.bytes().all(|byte| byte.is_ascii_digit());
    let is_table = |table: &str| {
        TABLES.iter().any(|(name, _)| *name == table)
            || table.strip_prefix("clicks-").is_some_and(is_month)
    };
    name == DESCRIPTION || table.is_some_and(is_table)
}

/// Writes the rows into the folder, replacing it.
pub(super) async fn export(
    client: &Client,
    tables: Generation,
    rows: &ExportedRows,
    folder: &Path,
) -> Result<(), ProjectionError> {
    let files = RowFiles::create(folder)?;
    let client = client.clone().with_setting("max_execution_time", "0");
    let months = "SELECT DISTINCT toYYYYMM(ts) FROM {clicks:Identifier} \
         WHERE log_offset < {first:UInt64} ORDER BY 1";
    let months = tables.query(&client, months).param("first", rows.first);
    for month in months.fetch_all::<u32>().await? {
        // In the order of the table, which takes little memory.
        let clicks = "SELECT * FROM {clicks:Identifier} \
             WHERE log_offset < {first:UInt64} AND toYYYYMM(ts) = {month:UInt32} \
             ORDER BY workspace_id, day, link_id, ts, log_offset";
        let clicks = tables.query(&client, clicks).param("first", rows.first);
        files.write(&format!("clicks-{month}"), clicks.param("month", month)).await?;
    }
    for (table, order) in TABLES {
        let only = if table == "blocked" { "WHERE log_offset < {first:UInt64}" } else { "" };
        let all = format!("SELECT * FROM {{{table}:Identifier}} {only} ORDER BY {order}");
        files.write(table, tables.query(&client, &all).param("first", rows.first)).await?;
    }
    let text = serde_json::to_vec(rows).map_err(std::io::Error::from);
    let written = text.and_then(|text| fs::write(folder.join(DESCRIPTION), text));
    written.map_err(|error| ProjectionError::Backup(folder.to_owned(), error))
}

/// Fills empty tables from the files in a folder.
pub(super) async fn import(
    client: &Client,
    tables: Generation,
    folder: &Path,
) -> Result<(), ProjectionError> {
    let failed = |error| ProjectionError::Backup(folder.to_owned(), error);
    let client = client
        .clone()
        .with_setting("insert_deduplicate", "0")
        .with_setting("async_insert", "0")
        .with_setting("max_execution_time", "0")
        // Written by another version, it may have fewer columns.
        .with_setting("input_format_skip_unknown_fields", "1");
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name == DESCRIPTION || !is_exported_name(name) {
            continue;
        }
        let table = name.split(['.', '-']).next().unwrap_or_default();
        let sql = format!("INSERT INTO {} FORMAT Native", tables.table(table));
        let insert = client.insert_formatted_with(sql);
        let mut insert = insert.with_timeouts(Some(TIMEOUT), Some(TIMEOUT));
        let mut file = GzDecoder::new(File::open(&path).map_err(failed)?);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = file.read(&mut chunk).map_err(failed)?;
            let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            insert.send(bytes.to_vec().into()).await?;
        }
        insert.end().await?;
    }
    Ok(())
}

/// The files of rows in a new folder.
struct RowFiles(PathBuf);

impl RowFiles {
    fn create(folder: &Path) -> Result<Self, ProjectionError> {
        let removed = match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        let created = removed.and_then(|()| fs::create_dir(folder));
        created.map_err(|error| ProjectionError::Backup(folder.to_owned(), error))?;
        Ok(Self(folder.to_owned()))
    }

    /// Writes the result of a query.
    async fn write(
        &self,
        name: &str,
        query: clickhouse::query::Query,
    ) -> Result<(), ProjectionError> {
        let path = self.0.join(format!("{name}.{ENDING}"));
        let failed = |error| ProjectionError::Backup(path.clone(), error);
        let mut bytes = query.fetch_bytes("Native")?;
        let file = File::create_new(&path).map_err(failed)?;
        let mut file = GzEncoder::new(file, Compression::fast());
        while let Some(some) = bytes.next().await? {
            file.write_all(&some).map_err(failed)?;
        }
        file.finish().map_err(failed)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_an_export_are_known() {
        for name in ["rows.json", "clicks-202611.native.gz", "agents.native.gz"] {
            assert!(is_exported_name(name), "{name}");
        }
        for name in ["clicks.native.gz", "clicks-2026.native.gz", "agentsnative.gz", "x.json"] {
            assert!(!is_exported_name(name), "{name}");
        }
        assert!(!is_exported_name("clicks-../../x.native.gz") && !is_exported_name(""));
    }

    #[test]
    fn an_export_is_that_of_one_log() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(ExportedRows::read(folder.path()).unwrap(), None);
        let rows = ExportedRows::of_log([1; 16], 42);
        fs::write(folder.path().join(DESCRIPTION), serde_json::to_vec(&rows).unwrap()).unwrap();
        assert_eq!(ExportedRows::read(folder.path()).unwrap(), Some(rows));
        fs::write(folder.path().join(DESCRIPTION), "{}").unwrap();
        assert!(ExportedRows::read(folder.path()).is_err());
    }
}
