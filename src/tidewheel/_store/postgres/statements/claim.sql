-- Put the next jobs of some queues under a lease.
-- takes: now or null, queues, slots of each (one of each, no array, when it is made for one queue), kinds, worker, lease time, one on its last life, too?
-- gives: what a runner needs, in no order, then what orders it (see `rows.in_line`); one row of nulls, and nothing is taken,
--        when any of these jobs has limits, or one on its last life may be there: then gates_claim decides
-- locks: the rows it takes; rows that others hold are passed over, so it never waits
--
-- A lone job's wait is this statement, and each of its steps is felt; so what is rare is left to another.
-- Parameters stand behind (SELECT ...), here and in the other hot statements: the planner cannot look through it, so
-- it finds a plan for these very values no better than one for any, and plans once and not at every call.
WITH picked AS MATERIALIZED (
    SELECT ready.seq, ready.flow
    FROM {wanted}
    CROSS JOIN LATERAL (
        SELECT seq, flow FROM {schema}.jobs
        WHERE state = 'available' AND queue = wanted.queue AND {last_life} = 0 AND kind = ANY ((SELECT $4::text[])::text[])
            AND NOT EXISTS (SELECT 1 FROM {schema}.queues WHERE name = wanted.queue AND paused)
        ORDER BY queue, priority, {line}
        LIMIT wanted.slots
        FOR UPDATE SKIP LOCKED
    ) AS ready
),
other AS MATERIALIZED (
    SELECT EXISTS (SELECT 1 FROM picked WHERE flow IS NOT NULL) OR (SELECT $7::boolean) AND EXISTS (
        SELECT 1 FROM {schema}.jobs
        WHERE state = 'available' AND queue = {queues} AND {last_life} = 1
            AND kind = ANY ((SELECT $4::text[])::text[])
    ) AS found
),
taken AS (
    UPDATE {schema}.jobs AS jobs
    SET state = 'running', epoch = epoch + 1, attempt = attempt + 1, started_at = at.now, lease_until = at.now + $6,
        worker = $5
    FROM (SELECT coalesce($1::bigint, {clock}) AS now) AS at
    WHERE jobs.seq = ANY (ARRAY(SELECT seq FROM picked WHERE NOT (SELECT found FROM other)))
    RETURNING id, epoch, kind, queue, args, attempt, max_attempts, crashes, enqueued_at, started_at, tags, meta,
        options, max_crashes, priority, lifo, run_at, seq
)
SELECT * FROM taken
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM other WHERE found
