//! What a rebuild copies from the previous tables: rows that the log no longer has, and which
//! amendments are applied.

use clickhouse::Client;
use clickhouse::query::Query;

use super::ProjectionError;
use super::generation::Generation;

/// Records in empty tables the amendments that are applied while they are filled: the removals
/// completed in the previous tables, and all reclassifications in them.
pub async fn copy_amendments(
    client: &Client,
    from: Generation,
    to: Generation,
) -> Result<(), ProjectionError> {
    for copy in [
        "INSERT INTO {to_amended:Identifier} (what, through) \
         SELECT what, max(through) FROM {amended:Identifier} WHERE what = 'removal' GROUP BY what",
        "INSERT INTO {to_amended:Identifier} (what, through) \
         SELECT 'reclassification', max(log_offset) FROM {reclassified:Identifier}",
        "INSERT INTO {to_removed:Identifier} SELECT * FROM {removed:Identifier} \
         WHERE forgotten_through <= \
             (SELECT max(through) FROM {amended:Identifier} WHERE what = 'removal')",
    ] {
        copying(client, copy, from, to).execute().await?;
    }
    Ok(())
}

/// Copies the rows before an offset of the log from one generation to another; clicks month by
/// month, and with the current class of their agents.
pub async fn copy_before(
    client: &Client,
    from: Generation,
    to: Generation,
    offset: u64,
) -> Result<(), ProjectionError> {
    let months = "SELECT DISTINCT toYYYYMM(ts) FROM {clicks:Identifier} \
         WHERE log_offset < {offset:UInt64} ORDER BY 1";
    let months = copying(client, months, from, to).param("offset", offset);
    for month in months.fetch_all::<u32>().await? {
        // As in `Corrections`: the last reclassification applies to the clicks before it.
        let copy = "INSERT INTO {to_clicks:Identifier} SELECT c.* EXCEPT (class) REPLACE ( \
                 if(class.1 = 0, c.device, class.3) AS device, \
                 multiIf(class.1 = 0, c.bot, class.4 != '', class.4, c.head, 'head', \
                         c.prefetch, 'prefetch', '') AS bot) \
             FROM (SELECT clicks.*, arrayLast(each -> log_offset < each.1 AND ts >= each.2, classes) AS class \
                   FROM {clicks:Identifier} AS clicks ANY LEFT JOIN \
                   (SELECT agent_id, arraySort(groupArray((log_offset, since, \
                        toString(device), toString(bot)))) AS classes \
                    FROM {reclassified:Identifier} GROUP BY agent_id) AS known \
                   ON clicks.agent_id = known.agent_id \
                   WHERE log_offset < {offset:UInt64} AND toYYYYMM(ts) = {month:UInt32}) AS c";
        copying(client, copy, from, to)
            .param("offset", offset)
            .param("month", month)
            .execute()
            .await?;
    }
    for copy in [
        "INSERT INTO {to_agents:Identifier} SELECT * FROM {agents:Identifier}",
        "INSERT INTO {to_blocked:Identifier} SELECT * FROM {blocked:Identifier} \
         WHERE log_offset < {offset:UInt64}",
        "INSERT INTO {to_forgotten:Identifier} SELECT * FROM {forgotten:Identifier} \
         WHERE log_offset < {offset:UInt64}",
        "INSERT INTO {to_reclassified:Identifier} SELECT * FROM {reclassified:Identifier} \
         WHERE log_offset < {offset:UInt64}",
    ] {
        copying(client, copy, from, to).param("offset", offset).execute().await?;
    }
    Ok(())
}

/// A failed copy is restarted from scratch, so it needs no deduplication tokens.
fn copying(client: &Client, sql: &str, from: Generation, to: Generation) -> Query {
    to.bind(from.query(client, sql), "to_")
        .with_setting("insert_deduplicate", "0")
        .with_setting("async_insert", "0")
        .with_setting("max_execution_time", "0")
}
