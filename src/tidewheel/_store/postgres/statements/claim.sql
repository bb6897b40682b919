-- Put the next jobs of some queues under a lease.
-- takes: now or null, queues, slots of each, kinds, worker, lease time, one on its last life, too?
-- gives: what a runner needs, in the order of the queues and of their lines; one row of nulls, and nothing is taken, when
--        any of these jobs has limits: then gates decide (see gates.py)
-- locks: the rows it takes; rows that others hold are passed over, so it never waits
--
-- Parameters stand behind (SELECT ...), here and in the other hot statements: the planner cannot look through it, so
-- it finds a plan for these very values no better than one for any, and plans once and not at every call.
WITH suspect AS MATERIALIZED (
    SELECT one.seq, one.queue, one.flow
    FROM unnest((SELECT $2::text[]), (SELECT $3::bigint[])) WITH ORDINALITY AS wanted (queue, slots, place)
    CROSS JOIN LATERAL (
        SELECT seq, queue, flow FROM {schema}.jobs
        WHERE state = 'available' AND queue = wanted.queue AND {last_life} = 1 AND kind = ANY ((SELECT $4::text[])::text[])
            AND wanted.slots > 0 AND (SELECT $7::boolean)
            AND NOT EXISTS (SELECT 1 FROM {schema}.queues WHERE name = wanted.queue AND paused)
        ORDER BY queue, priority, {line}
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) AS one
    ORDER BY wanted.place
    LIMIT 1
),
others AS MATERIALIZED (
    SELECT ready.seq, ready.flow
    FROM unnest((SELECT $2::text[]), (SELECT $3::bigint[])) AS wanted (queue, slots)
    CROSS JOIN LATERAL (
        SELECT seq, flow FROM {schema}.jobs
        WHERE state = 'available' AND queue = wanted.queue AND {last_life} = 0 AND kind = ANY ((SELECT $4::text[])::text[])
            AND NOT EXISTS (SELECT 1 FROM {schema}.queues WHERE name = wanted.queue AND paused)
        ORDER BY queue, priority, {line}
        LIMIT wanted.slots - (SELECT count(*) FROM suspect WHERE suspect.queue = wanted.queue)
        FOR UPDATE SKIP LOCKED
    ) AS ready
),
limited AS MATERIALIZED (
    SELECT EXISTS (SELECT 1 FROM suspect WHERE flow IS NOT NULL) OR EXISTS (SELECT 1 FROM others WHERE flow IS NOT NULL)
        AS found
),
taken AS (
    UPDATE {schema}.jobs AS jobs
    SET state = 'running', epoch = epoch + 1, attempt = attempt + 1, started_at = at.now, lease_until = at.now + $6,
        worker = $5
    FROM (SELECT coalesce($1::bigint, {clock}) AS now) AS at
    WHERE jobs.seq = ANY (ARRAY(
        SELECT seq FROM (SELECT seq FROM suspect UNION ALL SELECT seq FROM others) AS picked
        WHERE NOT (SELECT limited.found FROM limited)
    ))
    RETURNING id, epoch, kind, queue, args, attempt, max_attempts, crashes, enqueued_at, started_at, tags, meta,
        options, max_crashes, priority, run_at, lifo, seq
)
SELECT id, epoch, kind, queue, args, attempt, max_attempts, crashes, enqueued_at, started_at, tags, meta, options,
    max_crashes
FROM limited LEFT JOIN taken ON true
WHERE limited.found OR taken.id IS NOT NULL
ORDER BY array_position((SELECT $2::text[]), queue), seq <> ALL (ARRAY(SELECT seq FROM suspect)), priority, {line}
