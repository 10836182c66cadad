-- Clicks added up as they come in: the same clicks as in `clicks`, some orders of magnitude fewer
-- rows. Visitors are kept as states that can be merged over hours, days and values. These tables
-- keep tokens as `clicks` does, or a batch that is sent again would be added twice. States take
-- long to read: where few rows are wanted, granules are short. A precision of 12 takes a quarter of
-- the room of 14, and half of the time, at twice the error.

-- A workspace's hours.
CREATE TABLE clicks_hourly/*generation*/
(
    workspace_id UUID,
    hour         DateTime('UTC'),
    is_bot       Bool,
    clicks       SimpleAggregateFunction(sum, UInt64),
    scans        SimpleAggregateFunction(sum, UInt64),
    last_at      SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    visitors     AggregateFunction(uniqCombined(12), UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (workspace_id, hour, is_bot)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1,
         fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
         min_compressed_bytes_to_fsync_after_merge = 1;

CREATE MATERIALIZED VIEW clicks_hourly_feed/*generation*/ TO clicks_hourly/*generation*/ AS
SELECT workspace_id, toStartOfHour(ts) AS hour, bot != '' AS is_bot,
       count() AS clicks, countIf(qr) AS scans, max(ts) AS last_at,
       uniqCombinedState(12)(visitor_id) AS visitors
FROM clicks/*generation*/
GROUP BY workspace_id, hour, is_bot;

-- A link's days.
CREATE TABLE clicks_daily_links/*generation*/
(
    workspace_id UUID,
    link_id      UUID,
    day          Date,
    is_bot       Bool,
    clicks       SimpleAggregateFunction(sum, UInt64),
    scans        SimpleAggregateFunction(sum, UInt64),
    last_at      SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    visitors     AggregateFunction(uniqCombined(12), UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (workspace_id, link_id, day, is_bot)
SETTINGS index_granularity = 256, non_replicated_deduplication_window = 10000, fsync_after_insert = 1,
         fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
         min_compressed_bytes_to_fsync_after_merge = 1;

CREATE MATERIALIZED VIEW clicks_daily_links_feed/*generation*/ TO clicks_daily_links/*generation*/ AS
SELECT workspace_id, link_id, toDate(ts) AS day, bot != '' AS is_bot,
       count() AS clicks, countIf(qr) AS scans, max(ts) AS last_at,
       uniqCombinedState(12)(visitor_id) AS visitors
FROM clicks/*generation*/
GROUP BY workspace_id, link_id, day, is_bot;

-- A workspace's days by the values of one dimension.
CREATE TABLE clicks_daily_values/*generation*/
(
    workspace_id UUID,
    dimension    Enum8(
                   'country' = 1,
                   'continent' = 2,
                   'region' = 3,
                   'city' = 4,
                   'device' = 5,
                   'browser' = 6,
                   'browser_version' = 7,
                   'os' = 8,
                   'os_version' = 9,
                   'bot_reason' = 10,
                   'referrer' = 11,
                   'language' = 12,
                   'utm_source' = 13,
                   'utm_medium' = 14,
                   'utm_campaign' = 15,
                   'utm_content' = 16,
                   'utm_term' = 17,
                   'trigger' = 18),
    day          Date,
    value        String,
    is_bot       Bool,
    clicks       SimpleAggregateFunction(sum, UInt64),
    scans        SimpleAggregateFunction(sum, UInt64),
    last_at      SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    visitors     AggregateFunction(uniqCombined(12), UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (workspace_id, dimension, day, value, is_bot)
SETTINGS index_granularity = 256, non_replicated_deduplication_window = 10000, fsync_after_insert = 1,
         fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
         min_compressed_bytes_to_fsync_after_merge = 1;

CREATE MATERIALIZED VIEW clicks_daily_values_feed/*generation*/ TO clicks_daily_values/*generation*/ AS
SELECT workspace_id, dimension, toDate(ts) AS day, value, bot != '' AS is_bot,
       count() AS clicks, countIf(qr) AS scans, max(ts) AS last_at,
       uniqCombinedState(12)(visitor_id) AS visitors
FROM clicks/*generation*/
ARRAY JOIN
    CAST(['country',
         'continent',
         'region',
         'city',
         'device',
         'browser',
         'browser_version',
         'os',
         'os_version',
         'bot_reason',
         'referrer',
         'language',
         'utm_source',
         'utm_medium',
         'utm_campaign',
         'utm_content',
         'utm_term',
         'trigger']
         AS Array(Enum8('country' = 1, 'continent' = 2, 'region' = 3, 'city' = 4, 'device' = 5, 'browser' = 6, 'browser_version' = 7, 'os' = 8, 'os_version' = 9, 'bot_reason' = 10, 'referrer' = 11, 'language' = 12, 'utm_source' = 13, 'utm_medium' = 14, 'utm_campaign' = 15, 'utm_content' = 16, 'utm_term' = 17, 'trigger' = 18))) AS dimension,
    [toString(country),
         toString(continent),
         toString(region),
         toString(city),
         toString(device),
         toString(browser),
         toString(browser_version),
         toString(os),
         toString(os_version),
         toString(bot),
         toString(referrer),
         toString(language),
         toString(utm_source),
         toString(utm_medium),
         toString(utm_campaign),
         toString(utm_content),
         toString(utm_term),
         if(qr, 'qr', 'link')] AS value
GROUP BY workspace_id, dimension, day, value, is_bot;
