-- Put the next jobs of some queues under a lease.
-- takes: now or null, queues, slots of each, kinds, worker, lease time
-- gives: what a runner needs, in the order of the queues and of their lines
-- locks: the rows it takes; rows that others hold are passed over, so it never waits
--
-- Parameters stand behind (SELECT ...), here and in the other hot statements: the planner cannot look through it, so
-- it finds a plan for these very values no better than one for any, and plans once and not at every call.
WITH picked AS MATERIALIZED (
    SELECT ready.seq
    FROM unnest((SELECT $2::text[]), (SELECT $3::bigint[])) AS wanted (queue, slots)
    CROSS JOIN LATERAL (
        SELECT seq FROM {schema}.jobs
        WHERE state = 'available' AND queue = wanted.queue AND kind = ANY ((SELECT $4::text[])::text[])
            AND NOT EXISTS (SELECT 1 FROM {schema}.queues WHERE name = wanted.queue AND paused)
        ORDER BY queue, priority, CASE WHEN lifo THEN -run_at ELSE run_at END, CASE WHEN lifo THEN -seq ELSE seq END
        LIMIT wanted.slots
        FOR UPDATE SKIP LOCKED
    ) AS ready
),
taken AS (
    UPDATE {schema}.jobs AS jobs
    SET state = 'running', epoch = epoch + 1, attempt = attempt + 1, started_at = at.now, lease_until = at.now + $6,
        worker = $5
    FROM (SELECT coalesce($1::bigint, {clock}) AS now) AS at
    WHERE jobs.seq = ANY (ARRAY(SELECT seq FROM picked))
    RETURNING id, epoch, kind, queue, args, attempt, max_attempts, crashes, enqueued_at, started_at, tags, meta,
        options, priority, run_at, lifo, seq
)
SELECT id, epoch, kind, queue, args, attempt, max_attempts, crashes, enqueued_at, started_at, tags, meta, options
FROM taken
ORDER BY array_position((SELECT $2::text[]), queue), priority, CASE WHEN lifo THEN -run_at ELSE run_at END,
    CASE WHEN lifo THEN -seq ELSE seq END
