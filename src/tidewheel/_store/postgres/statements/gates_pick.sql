-- The next jobs of some queues, to be judged by their gates.
-- takes: now or null, queues, how many of each, kinds, how many of each that are on their last lives
-- gives: (seq, number of the queue from 1, on its last life?, flow, gate that let it into the line again, now), in the
--        order of the queues and of their lines
-- locks: first the limits against changes (see gates_calm), then the rows; those that others hold are passed over
WITH calm AS MATERIALIZED (
    SELECT {calm}
),
wanted AS MATERIALIZED (
    SELECT queue, slots, place
    FROM unnest((SELECT $2::text[] FROM calm), (SELECT $3::bigint[])) WITH ORDINALITY AS wanted (queue, slots, place)
    WHERE NOT EXISTS (SELECT 1 FROM {schema}.queues WHERE name = wanted.queue AND paused)
),
suspects AS MATERIALIZED (
    SELECT wanted.place, true AS suspect, one.seq, one.flow, one.parked_by, one.priority, one.lifo, one.run_at
    FROM wanted CROSS JOIN LATERAL (
        SELECT seq, flow, parked_by, priority, lifo, run_at FROM {schema}.jobs
        WHERE state = 'available' AND queue = wanted.queue AND {last_life} = 1 AND kind = ANY ((SELECT $4::text[])::text[])
        ORDER BY queue, priority, {line}
        LIMIT (SELECT $5::bigint)
        FOR UPDATE SKIP LOCKED
    ) AS one
),
others AS MATERIALIZED (
    SELECT wanted.place, false AS suspect, one.seq, one.flow, one.parked_by, one.priority, one.lifo, one.run_at
    FROM wanted CROSS JOIN LATERAL (
        SELECT seq, flow, parked_by, priority, lifo, run_at FROM {schema}.jobs
        WHERE state = 'available' AND queue = wanted.queue AND {last_life} = 0 AND kind = ANY ((SELECT $4::text[])::text[])
        ORDER BY queue, priority, {line}
        LIMIT wanted.slots
        FOR UPDATE SKIP LOCKED
    ) AS one
)
SELECT seq, place, suspect, flow, parked_by, coalesce($1::bigint, {clock})
FROM (SELECT * FROM suspects UNION ALL SELECT * FROM others) AS picked
ORDER BY place, NOT suspect, priority, {line}
