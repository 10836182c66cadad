-- One row a click, as the click log has it. Bots are rows like all others, with a reason.
--
-- The order serves the question asked most (one link, a span of time); the month is the unit in
-- which an insert is atomic. The window keeps the tokens of the last 10,000 batches: a batch
-- that is sent again is not inserted again.
CREATE TABLE clicks/*generation*/
(
    workspace_id    UUID                   CODEC(ZSTD(1)),
    link_id         UUID                   CODEC(ZSTD(1)),
    ts              DateTime64(3, 'UTC')   CODEC(DoubleDelta, ZSTD(1)),
    log_offset      UInt64                 CODEC(Delta, ZSTD(1)),
    link_version    UInt32                 CODEC(ZSTD(1)),
    domain          LowCardinality(String),
    agent_id        UInt64                 CODEC(ZSTD(1)),
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
    language        LowCardinality(String)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (workspace_id, link_id, ts)
SETTINGS non_replicated_deduplication_window = 10000;
