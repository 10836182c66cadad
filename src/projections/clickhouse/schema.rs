//! The schema: numbered files, each applied once, in order, and verified afterwards.
//!
//! Some files create the tables of the database; others those of a [`Generation`], and are applied
//! to each generation. These contain a placeholder for the generation's suffix in the table names.

use std::fmt::Write as _;

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::generation::{Generation, SUFFIX_MARK};
use super::{ProjectionError, Target};

/// A file of `schema/`: statements that are applied together. After a crash, they are applied again
/// from the first one.
struct Migration {
    /// The file name, which starts with its number.
    name: &'static str,
    /// The content.
    sql: &'static str,
}

macro_rules! migrations {
    ($($name:literal),* $(,)?) => {
        &[$(Migration { name: $name, sql: include_str!(concat!("../../../schema/", $name)) }),*]
    };
}

/// In the order in which they are applied. A released file of the whole database is never edited:
/// changes go into the next number. If a file of a generation is edited, the tables are rebuilt
/// from the log, which takes a while and needs the whole log: for a small change, another number is
/// better.
const MIGRATIONS: &[Migration] = migrations![
    "0001_origin.sql",
    "0002_clicks.sql",
    "0003_agents.sql",
    "0004_generations.sql",
    "0005_rollups.sql",
    "0006_amendments.sql",
    "0007_rules_and_blocks.sql",
    "0008_late_clicks.sql",
    "0009_values_by_grouping_sets.sql",
    "0010_chunks.sql",
    "0011_qr_codes.sql",
    "0012_labels.sql",
];

impl Migration {
    /// Whether it creates tables of a generation.
    fn is_of_generation(&self) -> bool {
        self.sql.contains(SUFFIX_MARK)
    }

    /// The name under which it is recorded for a generation.
    fn recorded_name(&self, generation: Generation) -> String {
        let suffix = if self.is_of_generation() { generation.suffix() } else { String::new() };
        format!("{}{suffix}", self.name)
    }

    /// The recorded checksum: that of the file for the first generation.
    fn sha256(&self) -> String {
        hex(&Sha256::digest(self.sql.replace(SUFFIX_MARK, "")))
    }

    /// The statements for a generation, made idempotent.
    fn statements(&self, generation: Generation) -> Vec<String> {
        let lines = self.sql.lines().filter(|line| !line.trim_start().starts_with("--"));
        let code: String = lines.flat_map(|line| [line, "\n"]).collect();
        let code = code.replace(SUFFIX_MARK, &generation.suffix());
        let again = [
            ("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS "),
            ("CREATE MATERIALIZED VIEW ", "CREATE MATERIALIZED VIEW IF NOT EXISTS "),
        ];
        let statements = code.split(';').map(str::trim).filter(|statement| !statement.is_empty());
        statements
            .map(|statement| {
                again.iter().fold(statement.to_owned(), |sql, (once, again)| {
                    sql.strip_prefix(once).map_or(sql.clone(), |rest| format!("{again}{rest}"))
                })
            })
            .collect()
    }
}

#[derive(Row, Serialize, Deserialize)]
struct Applied {
    name: String,
    sha256: String,
}

#[derive(Row, Serialize, Deserialize)]
struct Origin {
    log_id: String,
    #[serde(with = "clickhouse::serde::uuid")]
    instance: Uuid,
}

/// A prepared database.
pub struct Prepared {
    /// The ID of the database, which changes when it is dropped and recreated, so that the
    /// projector starts over.
    pub instance: Uuid,
    /// The generation in use.
    pub generation: Generation,
}

/// Creates the database if missing, applies missing migrations, and checks that it belongs to this
/// log. Tables of another version are recreated, to be filled from the log, if `is_log_whole`.
///
/// # Errors
/// [`ProjectionError::ChangedMigration`] if they cannot be recreated, because the log has dropped
/// clicks; [`ProjectionError::Foreign`] if the database belongs to another log.
pub async fn prepare(
    target: &Target,
    log_id: [u8; 16],
    is_log_whole: bool,
) -> Result<Prepared, ProjectionError> {
    let outside = target.client_without_database();
    outside
        .query("CREATE DATABASE IF NOT EXISTS {database:Identifier}")
        .param("database", &target.database)
        .execute()
        .await?;
    let client = target.client();
    client
        .query(
            "CREATE TABLE IF NOT EXISTS schema_migrations \
             (name String, sha256 String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) \
             ENGINE = MergeTree ORDER BY name",
        )
        .execute()
        .await?;
    let of_database = |migration: &Migration| !migration.is_of_generation();
    apply_missing(&client, Generation::FIRST, of_database).await?;
    let instance = claim(&client, target, log_id).await?;
    let mut generation = Generation::in_use(&client).await?;
    if let Some(changed) = changed_file(&client, generation).await? {
        if !is_log_whole {
            return Err(ProjectionError::ChangedMigration(changed.to_owned()));
        }
        tracing::warn!(
            changed,
            "the tables belong to another version; rebuilding them from the log"
        );
        generation = generation.next();
        recreate_tables(&client, generation).await?;
        generation.use_from_now(&client).await?;
    }
    generation.drop_others(&client).await?;
    create_tables(&client, generation).await?;
    Ok(Prepared { instance, generation })
}

/// A changed file among those that created the tables of a generation.
async fn changed_file(
    client: &Client,
    generation: Generation,
) -> Result<Option<&'static str>, ProjectionError> {
    let applied = applied(client).await?;
    let is_changed = |migration: &&Migration| {
        let (name, sha256) = (migration.recorded_name(generation), migration.sha256());
        applied.iter().any(|before| before.name == name && before.sha256 != sha256)
    };
    let of_generation = MIGRATIONS.iter().filter(|migration| migration.is_of_generation());
    Ok(of_generation.into_iter().find(is_changed).map(|migration| migration.name))
}

async fn applied(client: &Client) -> Result<Vec<Applied>, ProjectionError> {
    Ok(client.query("SELECT name, sha256 FROM schema_migrations").fetch_all().await?)
}

/// Creates the tables of a generation, or migrates them.
pub async fn create_tables(client: &Client, generation: Generation) -> Result<(), ProjectionError> {
    apply_missing(client, generation, Migration::is_of_generation).await
}

/// Drops and recreates the tables of a generation.
pub async fn recreate_tables(
    client: &Client,
    generation: Generation,
) -> Result<(), ProjectionError> {
    generation.drop_tables(client).await?;
    for migration in MIGRATIONS.iter().filter(|migration| migration.is_of_generation()) {
        client
            .query("DELETE FROM schema_migrations WHERE name = {name:String}")
            .param("name", migration.recorded_name(generation))
            .execute()
            .await?;
    }
    create_tables(client, generation).await
}

async fn apply_missing(
    client: &Client,
    generation: Generation,
    which: impl Fn(&Migration) -> bool,
) -> Result<(), ProjectionError> {
    let applied = applied(client).await?;
    for migration in MIGRATIONS.iter().filter(|migration| which(migration)) {
        let (name, sha256) = (migration.recorded_name(generation), migration.sha256());
        if let Some(before) = applied.iter().find(|row| row.name == name) {
            if before.sha256 != sha256 {
                return Err(ProjectionError::ChangedMigration(migration.name.to_owned()));
            }
            continue;
        }
        for statement in migration.statements(generation) {
            client
                .query(&statement.replace('?', "??"))
                // Few user agents make most of the clicks: a dictionary takes a third of the space.
                .with_setting("allow_suspicious_low_cardinality_types", "1")
                .execute()
                .await?;
        }
        tracing::info!(migration = name, "schema applied");
        let mut insert = client.insert::<Applied>("schema_migrations").await?;
        insert.write(&Applied { name, sha256 }).await?;
        insert.end().await?;
    }
    client.clear_cached_metadata().await;
    Ok(())
}

/// Checks that the database belongs to this log; claims a new one for it.
async fn claim(
    client: &Client,
    target: &Target,
    log_id: [u8; 16],
) -> Result<Uuid, ProjectionError> {
    let log_id = hex(&log_id);
    let origins: Vec<Origin> =
        client.query("SELECT toString(log_id) AS log_id, instance FROM origin").fetch_all().await?;
    match origins.first() {
        Some(origin) if origin.log_id == log_id => Ok(origin.instance),
        Some(_) => Err(ProjectionError::Foreign(target.database.clone())),
        None => {
            let instance = Uuid::now_v7();
            client
                .query("INSERT INTO origin (log_id, instance) VALUES ({log_id:String}, {instance:UUID})")
                .param("log_id", &log_id)
                .param("instance", instance.to_string())
                .execute()
                .await?;
            Ok(instance)
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_gaps() {
        for (at, migration) in MIGRATIONS.iter().enumerate() {
            assert!(migration.name.starts_with(&format!("{:04}_", at + 1)), "{}", migration.name);
            assert!(!migration.statements(Generation::FIRST).is_empty());
        }
    }

    #[test]
    fn a_generations_statements_name_its_own_tables_and_can_be_applied_again() {
        let second = Generation::FIRST.next();
        for migration in MIGRATIONS.iter().filter(|migration| migration.is_of_generation()) {
            for statement in migration.statements(second) {
                assert!(
                    !statement.contains(SUFFIX_MARK) && statement.contains("_g2"),
                    "{statement}"
                );
                let creates = statement.starts_with("CREATE ");
                assert!(!creates || statement.contains(" IF NOT EXISTS "), "{statement}");
            }
            assert_ne!(migration.recorded_name(second), migration.recorded_name(Generation::FIRST));
        }
    }

    /// The checksums recorded in existing databases.
    #[test]
    fn released_files_are_not_edited() {
        for (name, sha256) in [
            ("0001_origin.sql", "caf536bfc2c14b68775322f85e11a2a13934f08bdf468723c39421a4b48984fd"),
            (
                "0004_generations.sql",
                "d4e5accf0c116e16a278de173ee820945118cd9917b203272914b7e6637c7d66",
            ),
        ] {
            let migration = MIGRATIONS.iter().find(|migration| migration.name == name);
            assert_eq!(migration.map(Migration::sha256).as_deref(), Some(sha256), "{name}");
        }
    }
}
