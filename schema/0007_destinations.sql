-- Where a click led, by which campaign, and whether it began with a QR code.
ALTER TABLE clicks/*generation*/
ADD COLUMN IF NOT EXISTS continent    LowCardinality(String),
ADD COLUMN IF NOT EXISTS destination  LowCardinality(String),
ADD COLUMN IF NOT EXISTS utm_source   LowCardinality(String),
ADD COLUMN IF NOT EXISTS utm_medium   LowCardinality(String),
ADD COLUMN IF NOT EXISTS utm_campaign LowCardinality(String),
ADD COLUMN IF NOT EXISTS utm_content  LowCardinality(String),
ADD COLUMN IF NOT EXISTS utm_term     LowCardinality(String),
ADD COLUMN IF NOT EXISTS qr           Bool;
