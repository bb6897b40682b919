-- Keys to be looked at, those first that wait longest for it.
-- takes: now, how many
-- gives: the keys
-- locks: their rows, passing over those that others hold
SELECT key FROM {schema}.keys
WHERE look_at <= $1::bigint
ORDER BY look_at LIMIT $2
FOR UPDATE SKIP LOCKED
