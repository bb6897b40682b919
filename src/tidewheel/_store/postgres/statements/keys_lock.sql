-- Keys, for whoever is about to ask them; those that nobody asked before are made, with no job.
-- takes: now or null, keys (sorted)
-- gives: (key, job, since, until, used, now)
-- locks: their rows, in the order of the keys
INSERT INTO {schema}.keys (key, look_at)
SELECT key, coalesce($1::bigint, {clock})
FROM unnest((SELECT $2::text[])) WITH ORDINALITY AS asked (key, place)
ORDER BY place
ON CONFLICT (key) DO UPDATE SET key = excluded.key
RETURNING key, job_id, since, until, used, coalesce($1::bigint, {clock})
