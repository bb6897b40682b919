-- Put the next jobs of some queues under a lease.
-- takes: now or null, queues, slots of each, kinds, worker, lease time
-- gives: what a runner needs, in the order of the queues and of their lines
-- locks: the rows it takes; rows that others hold are passed over, so it never waits
WITH picked AS MATERIALIZED (
    SELECT ready.seq, wanted.place, ready.priority, ready.line, ready.turn
    FROM unnest($2::text[], $3::bigint[]) WITH ORDINALITY AS wanted (queue, slots, place)
    CROSS JOIN LATERAL (
        SELECT seq, priority, CASE WHEN lifo THEN -run_at ELSE run_at END AS line,
            CASE WHEN lifo THEN -seq ELSE seq END AS turn
        FROM {schema}.jobs
        WHERE state = 'available' AND queue = wanted.queue AND kind = ANY ($4::text[])
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
    FROM picked CROSS JOIN (SELECT coalesce($1::bigint, {clock}) AS now) AS at
    WHERE jobs.seq = picked.seq
    RETURNING id, epoch, kind, queue, args, attempt, max_attempts, crashes, enqueued_at, started_at, tags, meta,
        options, place, picked.priority, line, turn
)
SELECT id, epoch, kind, queue, args, attempt, max_attempts, crashes, enqueued_at, started_at, tags, meta, options
FROM taken ORDER BY place, priority, line, turn
