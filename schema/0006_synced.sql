-- What was inserted, and what was merged of it, is on disk before ClickHouse says so: the log's
-- older clicks may be dropped once they are here.
ALTER TABLE clicks/*generation*/
MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1,
               min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE clicks_hourly/*generation*/
MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1,
               min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE agents/*generation*/
MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1,
               min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1;
