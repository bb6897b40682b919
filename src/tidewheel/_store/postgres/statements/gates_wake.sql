-- A job is gone that a gate had let into the line: let the next sweep look there.
-- takes: now or null, keys
-- gives: how many gates
-- locks: their rows, in the order of their keys
WITH woken AS (
    UPDATE {schema}.gates SET opens_at = coalesce($1::bigint, {clock})
    WHERE key = ANY (ARRAY(
        SELECT key FROM {schema}.gates WHERE key = ANY ($2::text[]) AND waiting ORDER BY key FOR UPDATE
    ))
    RETURNING 1
)
SELECT count(*) FROM woken
