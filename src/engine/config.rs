//! The engine's configuration files.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::endpoint::{DATABASE, Password, USER};
use super::error::EngineError;
use super::memory::default_memory_bytes;

/// The table engines that slugline may use: those that store data in the engine's own folder or in
/// memory, none with access to other systems.
const TABLE_ENGINES: [&str; 8] = [
    "MergeTree",
    "ReplacingMergeTree",
    "SummingMergeTree",
    "AggregatingMergeTree",
    "CollapsingMergeTree",
    "VersionedCollapsingMergeTree",
    "Memory",
    "Null",
];

/// The maximum number of concurrent queries; the engine rejects more.
const CONCURRENT_QUERIES: u32 = 100;

/// The options of an engine.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The program to run as `EXE engine …`: slugline's own.
    pub exe: PathBuf,
    /// The engine's library, libchdb.
    pub lib: PathBuf,
    /// The folder of the engine's data; created if missing. Only one engine at a time can use it.
    pub data_dir: PathBuf,
    /// The folder of the engine's configuration, rewritten at each start; created if missing.
    pub run_dir: PathBuf,
    /// The engine's settings.
    pub config: EngineConfig,
}

/// The engine's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineConfig {
    /// The engine's memory limit, in bytes; a query past it fails.
    pub memory_bytes: u64,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { memory_bytes: default_memory_bytes() }
    }
}

impl EngineConfig {
    /// Writes the configuration for an engine with this password into `run_dir`. Returns the path
    /// of the main file. Both files have mode 0600.
    pub(super) fn write(self, run_dir: &Path, password: &Password) -> Result<PathBuf, EngineError> {
        let (main, users) = (run_dir.join("config.xml"), run_dir.join("users.xml"));
        replace(&users, &users_xml(password)).map_err(EngineError::prepare(&users))?;
        replace(&main, &self.main_xml(&users)).map_err(EngineError::prepare(&main))?;
        Ok(main)
    }

    /// The main configuration file.
    ///
    /// The caches are limited to shares of the memory, since `ClickHouse`'s own limits are
    /// gigabytes. There is no cache of uncompressed blocks, which helps point reads only. Two
    /// merges at a time are plenty for tables with a single writer. `clickhouse local` keeps no
    /// `system.*_log` tables. One unused pool would log a warning whenever it is idle.
    ///
    /// Merges use as much processor time as inserts. So column statistics, which no query needs, are
    /// disabled; small parts are merged in one pass over all columns, which is twice as fast as column
    /// by column; and more parts are merged at once, so that a click is merged less often.
    fn main_xml(self, users: &Path) -> String {
        let Self { memory_bytes } = self;
        let (marks, index) = (memory_bytes / 16, memory_bytes / 32);
        let users = escape(&users.to_string_lossy());
        // Idle connections are closed soon: a stop waits for open ones.
        format!(
            "<clickhouse>
    <log-level>warning</log-level>
    <logger>
        <level>warning</level>
        <console>1</console>
        <levels>
            <logger><name>BackgroundSchedulePool/BgStrmSchPool</name><level>error</level></logger>
        </levels>
    </logger>
    <users_config>{users}</users_config>
    <timezone>UTC</timezone>
    <max_server_memory_usage>{memory_bytes}</max_server_memory_usage>
    <mark_cache_size>{marks}</mark_cache_size>
    <primary_index_cache_size>{index}</primary_index_cache_size>
    <index_mark_cache_size>{index}</index_mark_cache_size>
    <uncompressed_cache_size>0</uncompressed_cache_size>
    <compiled_expression_cache_size>33554432</compiled_expression_cache_size>
    <background_pool_size>2</background_pool_size>
    <background_common_pool_size>2</background_common_pool_size>
    <background_schedule_pool_size>4</background_schedule_pool_size>
    <max_table_size_to_drop>0</max_table_size_to_drop>
    <max_partition_size_to_drop>0</max_partition_size_to_drop>
    <keep_alive_timeout>2</keep_alive_timeout>
    <merge_tree>
        <auto_statistics_types></auto_statistics_types>
        <vertical_merge_algorithm_min_rows_to_activate>1000000</vertical_merge_algorithm_min_rows_to_activate>
        <merge_selector_base>8</merge_selector_base>
    </merge_tree>
    {HTTP_HANDLERS}
</clickhouse>
"
        )
    }
}

/// Access to the HTTP port.
///
/// Only a request that names the user in its header reaches the query handler. Otherwise any
/// program on this machine could use the user `default`, which `clickhouse local` needs without a
/// password, for example to stop the listener. `ClickHouse` itself rejects a request that names two
/// users.
const HTTP_HANDLERS: &str = "<http_handlers>
        <rule>
            <methods>GET,POST</methods>
            <headers><X-ClickHouse-User>slugline</X-ClickHouse-User></headers>
            <handler>
                <type>dynamic_query_handler</type>
                <query_param_name>query</query_param_name>
            </handler>
        </rule>
    </http_handlers>";

/// The users file: the local session's user with the few grants it needs, and slugline's own.
fn users_xml(password: &Password) -> String {
    let hash = password.sha256_hex();
    let mut engines = TABLE_ENGINES.map(|engine| format!("TABLE ENGINE ON {engine}")).join(", ");
    engines.insert_str(0, "GRANT ");
    format!(
        "<clickhouse>
    <profiles>
        <default>
            <max_concurrent_queries_for_user>{CONCURRENT_QUERIES}</max_concurrent_queries_for_user>
        </default>
    </profiles>
    <quotas><default/></quotas>
    <users>
        <default>
            <no_password/>
            <networks><ip>127.0.0.1</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <grants>
                <query>GRANT SYSTEM LISTEN ON *.*</query>
                <query>GRANT CREATE ARBITRARY TEMPORARY TABLE ON *.*</query>
                <query>GRANT TABLE ENGINE ON File</query>
                <query>GRANT SELECT ON _local.*</query>
                <query>GRANT CREATE TABLE ON _local.*</query>
            </grants>
        </default>
        <{USER}>
            <password_sha256_hex>{hash}</password_sha256_hex>
            <networks><ip>127.0.0.1</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <grants>
                <query>GRANT ALL ON {DATABASE}.*</query>
                <query>{engines}</query>
                <query>GRANT SELECT ON system.*</query>
                <query>GRANT CREATE TEMPORARY TABLE, KILL QUERY ON *.*</query>
            </grants>
        </{USER}>
    </users>
</clickhouse>
"
    )
}

/// Atomically replaces a file, with mode 0600.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&new, path)
}

/// Escapes a text for XML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_files_are_private_and_hold_no_password() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = folder.path().join("a&b");
        fs::create_dir(&run_dir).unwrap();
        let config = EngineConfig { memory_bytes: 1 << 30 };
        let password = Password::random();
        config.write(&run_dir, &Password::random()).unwrap();
        let main = config.write(&run_dir, &password).unwrap();
        for name in ["config.xml", "users.xml"] {
            let path = run_dir.join(name);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert!(!fs::read_to_string(&path).unwrap().contains(password.expose()));
        }
        let users = fs::read_to_string(run_dir.join("users.xml")).unwrap();
        assert!(users.contains(&password.sha256_hex()));
        let main = fs::read_to_string(main).unwrap();
        assert!(main.contains("a&amp;b/users.xml"), "{main}");
        assert!(main.contains("<max_server_memory_usage>1073741824<"), "{main}");
        assert!(main.contains(&format!("<X-ClickHouse-User>{USER}<")), "{main}");
    }
}
