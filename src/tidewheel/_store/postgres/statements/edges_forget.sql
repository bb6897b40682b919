-- The edges of parents that are gone.
-- takes: ids of parents
DELETE FROM {schema}.edges WHERE parent = ANY ((SELECT $1::text[])::text[])
