-- A worker lives, or says goodbye: remember or forget it, extend its leases, write progress.
-- takes: now or null, worker, info (JSON; null: it stops), lease time, ids, epochs, progress of each or null
-- gives: (id, epoch, seq, cancel_requested) of the leases that hold
-- locks: their rows, in the order of their ids
WITH at AS (
    SELECT coalesce($1::bigint, {clock}) AS now
),
seen AS (
    INSERT INTO {schema}.workers (id, info, seen_at) SELECT $2, $3::text, now FROM at WHERE $3::text IS NOT NULL
    ON CONFLICT (id) DO UPDATE SET info = excluded.info, seen_at = excluded.seen_at
),
gone AS (
    DELETE FROM {schema}.workers WHERE $3::text IS NULL AND id = $2
),
held AS MATERIALIZED (
    SELECT jobs.seq, asked.progress
    FROM unnest((SELECT $5::text[]), (SELECT $6::bigint[]), (SELECT $7::text[])) AS asked (id, epoch, progress)
    JOIN {schema}.jobs AS jobs ON jobs.id = asked.id
    WHERE jobs.epoch = asked.epoch AND jobs.state = (SELECT 'running')
    ORDER BY jobs.id
    FOR UPDATE OF jobs
)
UPDATE {schema}.jobs AS jobs
SET lease_until = at.now + $4, progress = coalesce(held.progress, jobs.progress)
FROM held CROSS JOIN at
WHERE jobs.seq = held.seq
RETURNING jobs.id, jobs.epoch, jobs.seq, jobs.cancel_requested
