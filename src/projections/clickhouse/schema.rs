//! The schema: numbered files, applied once each, in order, and checked ever after.

use std::fmt::Write as _;

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{ProjectionError, Target};

/// A file of `schema/`: one statement.
pub struct Migration {
    /// The file's name, which begins with its number.
    pub name: &'static str,
    /// The file's text.
    pub sql: &'static str,
}

macro_rules! migrations {
    ($($name:literal),* $(,)?) => {
        &[$(Migration { name: $name, sql: include_str!(concat!("../../../schema/", $name)) }),*]
    };
}

/// In the order in which they are applied. A file that was released is never edited: what comes
/// later goes into the next number.
const MIGRATIONS: &[Migration] =
    migrations!["0001_origin.sql", "0002_clicks.sql", "0003_agents.sql"];

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

/// Makes the database if need be, applies the migrations that it lacks, and checks that it is
/// this log's own. Returns the database's instance: another one after it was dropped and made
/// anew, so that the projector knows that it must begin again.
pub async fn prepare(target: &Target, log_id: [u8; 16]) -> Result<Uuid, ProjectionError> {
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
    apply_missing(&client).await?;
    claim(&client, target, log_id).await
}

async fn apply_missing(client: &Client) -> Result<(), ProjectionError> {
    let applied: Vec<Applied> =
        client.query("SELECT name, sha256 FROM schema_migrations").fetch_all().await?;
    for migration in MIGRATIONS {
        let sha256 = hex(&Sha256::digest(migration.sql));
        if let Some(before) = applied.iter().find(|row| row.name == migration.name) {
            if before.sha256 != sha256 {
                return Err(ProjectionError::ChangedMigration(migration.name.to_owned()));
            }
            continue;
        }
        // A crash between the statement and its note must not stop the next start.
        let sql = migration.sql.replacen("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ", 1);
        client.query(&sql.replace('?', "??")).execute().await?;
        let mut insert = client.insert::<Applied>("schema_migrations").await?;
        insert.write(&Applied { name: migration.name.to_owned(), sha256 }).await?;
        insert.end().await?;
        tracing::info!(migration = migration.name, "schema applied");
    }
    client.clear_cached_metadata().await;
    Ok(())
}

/// Checks that the database belongs to this log, or claims a new one for it.
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
        // Writing to a string has no way to fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_gaps_and_hold_one_statement() {
        for (at, migration) in MIGRATIONS.iter().enumerate() {
            assert!(migration.name.starts_with(&format!("{:04}_", at + 1)), "{}", migration.name);
            let code = migration.sql.lines().filter(|line| !line.trim_start().starts_with("--"));
            assert_eq!(code.filter(|line| line.contains(';')).count(), 1, "{}", migration.name);
        }
    }
}
