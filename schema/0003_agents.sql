-- Each distinct user agent once, so that clicks can be classified again by a newer list.
CREATE TABLE agents/*generation*/
(
    agent_id        UInt64,
    user_agent      String CODEC(ZSTD(3)),
    browser         LowCardinality(String),
    browser_version LowCardinality(String),
    os              LowCardinality(String),
    os_version      LowCardinality(String),
    device          LowCardinality(String),
    bot             LowCardinality(String),
    bot_pattern     LowCardinality(String),
    seen_at         DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(seen_at)
ORDER BY agent_id
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1,
         fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
         min_compressed_bytes_to_fsync_after_merge = 1;
