-- Which log this database is a projection of. One row, written when the schema is new.
CREATE TABLE origin
(
    log_id   FixedString(32),
    instance UUID
)
ENGINE = MergeTree
ORDER BY tuple();
