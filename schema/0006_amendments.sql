-- Links that were deleted: no answer counts their clicks.
CREATE TABLE forgotten/*generation*/
(
    log_offset   UInt64,
    workspace_id UUID,
    link_id      UUID,
    at           DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (workspace_id, link_id, log_offset)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1,
         fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
         min_compressed_bytes_to_fsync_after_merge = 1;
-- What the removal of their clicks takes away, so that log and tables can be compared ever after. A
-- removal is of all that was forgotten up to an offset. It writes these rows before it begins; one
-- of them, without clicks, says just that.
CREATE TABLE removed/*generation*/
(
    forgotten_through UInt64,
    workspace_id      UUID,
    day               Date,
    clicks            UInt64,
    offsets           UInt64,
    squares           UInt64
)
ENGINE = MergeTree
ORDER BY (forgotten_through, workspace_id, day)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1,
         fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
         min_compressed_bytes_to_fsync_after_merge = 1;
-- User agents that are taken for something else by now, for clicks from some moment on. A rebuild
-- gives their clicks the new class.
CREATE TABLE reclassified/*generation*/
(
    log_offset UInt64,
    agent_id   UInt64,
    since      DateTime64(3, 'UTC'),
    device     LowCardinality(String),
    bot        LowCardinality(String),
    at         DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (agent_id, log_offset)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1,
         fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
         min_compressed_bytes_to_fsync_after_merge = 1;
-- Up to which offset of the log amendments are carried out in these tables.
CREATE TABLE amended/*generation*/
(
    what    Enum8('removal' = 1, 'reclassification' = 2),
    through UInt64,
    at      DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (what, through)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
