-- The QR code that was scanned, by its id; empty for none.
ALTER TABLE clicks/*generation*/
    ADD COLUMN IF NOT EXISTS qr_code LowCardinality(String);
-- A workspace's days by the code that was scanned. A view of its own: most clicks are no scans, and
-- have no row here.
ALTER TABLE clicks_daily_values/*generation*/
    MODIFY COLUMN dimension Enum8('country' = 1, 'continent' = 2, 'region' = 3, 'city' = 4,
        'device' = 5, 'browser' = 6, 'browser_version' = 7, 'os' = 8, 'os_version' = 9,
        'bot_reason' = 10, 'referrer' = 11, 'language' = 12, 'utm_source' = 13, 'utm_medium' = 14,
        'utm_campaign' = 15, 'utm_content' = 16, 'utm_term' = 17, 'trigger' = 18, 'qr_code' = 19);
CREATE MATERIALIZED VIEW clicks_daily_codes_feed/*generation*/ TO clicks_daily_values/*generation*/ AS
SELECT workspace_id,
       CAST('qr_code' AS Enum8('qr_code' = 19)) AS dimension,
       toDate(ts) AS day, CAST(qr_code AS String) AS value, bot != '' AS is_bot,
       toUInt32(intDiv(log_offset, 4194304) + 1) AS chunk,
       count() AS clicks, countIf(qr) AS scans, max(ts) AS last_at,
       uniqCombinedState(12)(visitor_id) AS visitors
FROM clicks/*generation*/
WHERE qr_code != ''
GROUP BY workspace_id, day, value, is_bot, chunk;
