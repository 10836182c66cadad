-- The last version of the link whose clicks don't count, wherever in the log they are. 0 in rows of
-- older versions of slugline: then only the clicks before the row's offset don't count.
ALTER TABLE forgotten/*generation*/
    ADD COLUMN IF NOT EXISTS through_version UInt32;
