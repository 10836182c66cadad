-- One row a click, as the click log has it. Bots are rows like all others, with a reason.
--
-- The order serves the questions asked most: of a workspace, some days, a link. The month is the
-- unit in which an insert is atomic. The window keeps the tokens of the last 10,000 batches: a
-- batch that is sent again is not inserted again. What was inserted, and what was merged of it, is
-- on disk before ClickHouse says so: the log's older clicks may be dropped once they are here.
CREATE TABLE clicks/*generation*/
(
    workspace_id    UUID                   CODEC(ZSTD(1)),
    link_id         UUID                   CODEC(ZSTD(1)),
    -- T64 is read several times faster than what would take somewhat less room.
    ts              DateTime64(3, 'UTC')   CODEC(T64, LZ4),
    -- Whole days are told by it: times needn't be read.
    day             Date                   MATERIALIZED toDate(ts),
    log_offset      UInt64                 CODEC(T64, ZSTD(1)),
    link_version    UInt32                 CODEC(ZSTD(1)),
    domain          LowCardinality(String),
    agent_id        LowCardinality(UInt64),
    visitor_id      UInt64                 CODEC(ZSTD(1)),
    country         LowCardinality(String),
    region          LowCardinality(String),
    city            LowCardinality(String),
    browser         LowCardinality(String),
    browser_version LowCardinality(String),
    os              LowCardinality(String),
    os_version      LowCardinality(String),
    device          LowCardinality(String),
    -- Why it is not taken for a human's click; empty when it is.
    bot             LowCardinality(String),
    head            Bool,
    prefetch        Bool,
    -- The folded host; empty for a direct visit.
    referrer        LowCardinality(String),
    referrer_url    String                 CODEC(ZSTD(3)),
    language        LowCardinality(String),
    continent       LowCardinality(String),
    -- Where the link led, and by which campaign.
    destination     LowCardinality(String),
    utm_source      LowCardinality(String),
    utm_medium      LowCardinality(String),
    utm_campaign    LowCardinality(String),
    utm_content     LowCardinality(String),
    utm_term        LowCardinality(String),
    -- It began with a QR code.
    qr              Bool
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (workspace_id, day, link_id, ts)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1,
         fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
         min_compressed_bytes_to_fsync_after_merge = 1;
