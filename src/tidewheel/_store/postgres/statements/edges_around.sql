-- Who waits for whom among jobs and those next to them.
-- takes: ids
-- gives: (parent, child, has it not ended?), some of them twice
SELECT parent, child, state IS NULL FROM {schema}.edges WHERE parent = ANY ((SELECT $1::text[])::text[])
UNION ALL
SELECT parent, child, state IS NULL FROM {schema}.edges WHERE child = ANY ((SELECT $1::text[])::text[])
