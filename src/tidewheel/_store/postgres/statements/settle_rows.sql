-- The running jobs under these leases.
-- takes: now or null, ids, epochs
-- gives: what deciding about their end needs, and now
-- locks: first the limits against changes (see gates_calm), then their rows, in the order of their ids
WITH calm AS MATERIALIZED (
    SELECT {calm}
)
SELECT jobs.id, jobs.epoch, jobs.seq, jobs.queue, jobs.attempt, jobs.worker, jobs.started_at, jobs.run_at,
    jobs.cancel_requested, jobs.keep_failed, jobs.on_dead, jobs.flow, jobs.awaited,
    coalesce($1::bigint, {clock}) AS now
FROM unnest((SELECT $2::text[] FROM calm), (SELECT $3::bigint[])) AS asked (id, epoch)
JOIN {schema}.jobs AS jobs ON jobs.id = asked.id
WHERE jobs.epoch = asked.epoch AND jobs.state = (SELECT 'running')
ORDER BY jobs.id
FOR UPDATE OF jobs
