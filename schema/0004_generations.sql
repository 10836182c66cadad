-- Which build of the tables is in use: the highest. A rebuild fills tables of its own, and a row
-- here is the moment at which they take over. No row: the first build.
CREATE TABLE generations
(
    generation UInt32,
    began_at   DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY generation;
