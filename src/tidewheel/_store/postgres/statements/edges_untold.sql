-- Children that have ended, or are gone, and still have open edges: code that knew no graphs told nobody. It looks at some of
-- the open edges by chance, so that no sweep takes long.
-- takes: at how many
-- gives: ids
SELECT DISTINCT open.child FROM (
    SELECT child FROM {schema}.edges WHERE state IS NULL ORDER BY parent
    LIMIT $1::bigint OFFSET greatest(0, floor(random() * ($1::bigint + (
        SELECT count(*) FROM {schema}.edges WHERE state IS NULL
    )))::bigint - $1::bigint)
) AS open
WHERE NOT EXISTS (SELECT 1 FROM {schema}.jobs WHERE jobs.id = open.child AND NOT {final} OFFSET 0)
