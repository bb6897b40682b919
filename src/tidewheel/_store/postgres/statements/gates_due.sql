-- Gates to look at, those first that are due longest.
-- takes: now, limit
-- gives: their keys
-- locks: first the limits against changes (see gates_calm), then the gates, passing over those that others hold: they
--        look themselves
WITH calm AS MATERIALIZED (
    SELECT {calm}
)
SELECT key FROM {schema}.gates
WHERE opens_at <= (SELECT $1::bigint FROM calm)
ORDER BY opens_at, key LIMIT (SELECT $2::bigint)
FOR UPDATE SKIP LOCKED
