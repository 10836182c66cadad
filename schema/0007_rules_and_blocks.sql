-- The rule that led a click somewhere else than its link's destination, and the variant that it
-- drew there; empty for none.
ALTER TABLE clicks/*generation*/
    ADD COLUMN IF NOT EXISTS rule    LowCardinality(String),
    ADD COLUMN IF NOT EXISTS variant LowCardinality(String);
-- One row a visit that a gate of its link stopped. These are no clicks: nothing counts them but
-- those who ask for them.
CREATE TABLE blocked/*generation*/
(
    workspace_id UUID                 CODEC(ZSTD(1)),
    link_id      UUID                 CODEC(ZSTD(1)),
    ts           DateTime64(3, 'UTC') CODEC(T64, LZ4),
    day          Date                 MATERIALIZED toDate(ts),
    log_offset   UInt64               CODEC(T64, ZSTD(1)),
    link_version UInt32               CODEC(ZSTD(1)),
    domain       LowCardinality(String),
    -- Which gate it was.
    reason       LowCardinality(String),
    visitor_id   UInt64               CODEC(ZSTD(1)),
    country      LowCardinality(String),
    device       LowCardinality(String),
    bot          LowCardinality(String),
    referrer     LowCardinality(String)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (workspace_id, link_id, ts)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1,
         fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
         min_compressed_bytes_to_fsync_after_merge = 1;
