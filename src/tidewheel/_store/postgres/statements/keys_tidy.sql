-- Forget keys that nobody would miss: their periods are over and their jobs are gone. The others are asked again later.
-- takes: now, keys, how much later
-- locks: their rows; the caller has locked them in a statement before
--
-- In a statement of its own, so that it sees the job of whoever took a key a moment before it was locked.
WITH old AS MATERIALIZED (
    SELECT key, until > $1::bigint OR EXISTS (SELECT 1 FROM {schema}.jobs WHERE jobs.id = keys.job_id) AS kept
    FROM {schema}.keys WHERE key = ANY ((SELECT $2::text[])::text[])
),
gone AS (
    DELETE FROM {schema}.keys WHERE key = ANY (ARRAY(SELECT key FROM old WHERE NOT kept))
)
UPDATE {schema}.keys SET look_at = greatest(until, $1::bigint + $3::bigint) WHERE key = ANY (ARRAY(SELECT key FROM old WHERE kept))
