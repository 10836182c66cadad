-- What the link had when it was clicked: its tags, separated by commas, its folder, and the id of its
-- campaign. Empty for none, and for clicks from before they were recorded.
ALTER TABLE clicks/*generation*/
    ADD COLUMN IF NOT EXISTS tags LowCardinality(String),
    ADD COLUMN IF NOT EXISTS folder LowCardinality(String),
    ADD COLUMN IF NOT EXISTS campaign LowCardinality(String);
