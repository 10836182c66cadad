-- A chunk is a number of consecutive offsets of the log: 262,144 for hours, 4,194,304 for days,
-- numbered from 1. Rollup rows are divided by chunk, so that what arrived before some offset can be
-- read from them while the current hour or day goes on. Older rows have the number 0. Those of days
-- are large: they are read for many days at once, and there should be few of them.
--
-- The views stay those that they were, as in the file before, and are loaded again after the change.
ALTER TABLE clicks_hourly/*generation*/
    ADD COLUMN IF NOT EXISTS chunk UInt32 AFTER is_bot,
    MODIFY ORDER BY (workspace_id, hour, is_bot, chunk);
ALTER TABLE clicks_daily_links/*generation*/
    ADD COLUMN IF NOT EXISTS chunk UInt32 AFTER is_bot,
    MODIFY ORDER BY (workspace_id, link_id, day, is_bot, chunk);
ALTER TABLE clicks_daily_values/*generation*/
    ADD COLUMN IF NOT EXISTS chunk UInt32 AFTER is_bot,
    MODIFY ORDER BY (workspace_id, dimension, day, value, is_bot, chunk);
-- The latest offsets are in the latest parts.
ALTER TABLE clicks/*generation*/
    ADD INDEX IF NOT EXISTS log_offset_range log_offset TYPE minmax GRANULARITY 1;
ATTACH TABLE IF NOT EXISTS clicks_hourly_feed/*generation*/;
ALTER TABLE clicks_hourly_feed/*generation*/ MODIFY QUERY
SELECT workspace_id, toStartOfHour(ts) AS hour, bot != '' AS is_bot,
       toUInt32(intDiv(log_offset, 262144) + 1) AS chunk,
       count() AS clicks, countIf(qr) AS scans, max(ts) AS last_at,
       uniqCombinedState(12)(visitor_id) AS visitors
FROM clicks/*generation*/
GROUP BY workspace_id, hour, is_bot, chunk;
DETACH TABLE clicks_hourly_feed/*generation*/;
ATTACH TABLE IF NOT EXISTS clicks_hourly_feed/*generation*/;
ATTACH TABLE IF NOT EXISTS clicks_daily_links_feed/*generation*/;
ALTER TABLE clicks_daily_links_feed/*generation*/ MODIFY QUERY
SELECT workspace_id, link_id, toDate(ts) AS day, bot != '' AS is_bot,
       toUInt32(intDiv(log_offset, 4194304) + 1) AS chunk,
       count() AS clicks, countIf(qr) AS scans, max(ts) AS last_at,
       uniqCombinedState(12)(visitor_id) AS visitors
FROM clicks/*generation*/
GROUP BY workspace_id, link_id, day, is_bot, chunk;
DETACH TABLE clicks_daily_links_feed/*generation*/;
ATTACH TABLE IF NOT EXISTS clicks_daily_links_feed/*generation*/;
ATTACH TABLE IF NOT EXISTS clicks_daily_values_feed/*generation*/;
ALTER TABLE clicks_daily_values_feed/*generation*/ MODIFY QUERY
SELECT workspace_id,
       CAST(multiIf(grouping(country) = 0, 'country',
                    grouping(continent) = 0, 'continent',
                    grouping(region) = 0, 'region',
                    grouping(city) = 0, 'city',
                    grouping(device) = 0, 'device',
                    grouping(browser) = 0, 'browser',
                    grouping(browser_version) = 0, 'browser_version',
                    grouping(os) = 0, 'os',
                    grouping(os_version) = 0, 'os_version',
                    grouping(bot) = 0, 'bot_reason',
                    grouping(referrer) = 0, 'referrer',
                    grouping(language) = 0, 'language',
                    grouping(utm_source) = 0, 'utm_source',
                    grouping(utm_medium) = 0, 'utm_medium',
                    grouping(utm_campaign) = 0, 'utm_campaign',
                    grouping(utm_content) = 0, 'utm_content',
                    grouping(utm_term) = 0, 'utm_term',
                    'trigger')
            AS Enum8('country' = 1, 'continent' = 2, 'region' = 3, 'city' = 4, 'device' = 5,
                     'browser' = 6, 'browser_version' = 7, 'os' = 8, 'os_version' = 9,
                     'bot_reason' = 10, 'referrer' = 11, 'language' = 12, 'utm_source' = 13,
                     'utm_medium' = 14, 'utm_campaign' = 15, 'utm_content' = 16, 'utm_term' = 17,
                     'trigger' = 18)) AS dimension,
       day,
       multiIf(grouping(country) = 0, CAST(country AS String),
               grouping(continent) = 0, CAST(continent AS String),
               grouping(region) = 0, CAST(region AS String),
               grouping(city) = 0, CAST(city AS String),
               grouping(device) = 0, CAST(device AS String),
               grouping(browser) = 0, CAST(browser AS String),
               grouping(browser_version) = 0, CAST(browser_version AS String),
               grouping(os) = 0, CAST(os AS String),
               grouping(os_version) = 0, CAST(os_version AS String),
               grouping(bot) = 0, CAST(bot AS String),
               grouping(referrer) = 0, CAST(referrer AS String),
               grouping(language) = 0, CAST(language AS String),
               grouping(utm_source) = 0, CAST(utm_source AS String),
               grouping(utm_medium) = 0, CAST(utm_medium AS String),
               grouping(utm_campaign) = 0, CAST(utm_campaign AS String),
               grouping(utm_content) = 0, CAST(utm_content AS String),
               grouping(utm_term) = 0, CAST(utm_term AS String),
               trigger) AS value,
       is_bot, chunk, count() AS clicks, countIf(qr) AS scans, max(ts) AS last_at,
       uniqCombinedState(12)(visitor_id) AS visitors
FROM (SELECT workspace_id, toDate(ts) AS day, bot != '' AS is_bot,
             toUInt32(intDiv(log_offset, 4194304) + 1) AS chunk, visitor_id, ts, qr,
             country, continent, region, city, device, browser, browser_version, os, os_version, bot,
             referrer, language, utm_source, utm_medium, utm_campaign, utm_content, utm_term,
             if(qr, 'qr', 'link') AS trigger
      FROM clicks/*generation*/)
GROUP BY GROUPING SETS (
    (workspace_id, day, is_bot, chunk, country),
    (workspace_id, day, is_bot, chunk, continent),
    (workspace_id, day, is_bot, chunk, region),
    (workspace_id, day, is_bot, chunk, city),
    (workspace_id, day, is_bot, chunk, device),
    (workspace_id, day, is_bot, chunk, browser),
    (workspace_id, day, is_bot, chunk, browser_version),
    (workspace_id, day, is_bot, chunk, os),
    (workspace_id, day, is_bot, chunk, os_version),
    (workspace_id, day, is_bot, chunk, bot),
    (workspace_id, day, is_bot, chunk, referrer),
    (workspace_id, day, is_bot, chunk, language),
    (workspace_id, day, is_bot, chunk, utm_source),
    (workspace_id, day, is_bot, chunk, utm_medium),
    (workspace_id, day, is_bot, chunk, utm_campaign),
    (workspace_id, day, is_bot, chunk, utm_content),
    (workspace_id, day, is_bot, chunk, utm_term),
    (workspace_id, day, is_bot, chunk, trigger));
DETACH TABLE clicks_daily_values_feed/*generation*/;
ATTACH TABLE IF NOT EXISTS clicks_daily_values_feed/*generation*/;
