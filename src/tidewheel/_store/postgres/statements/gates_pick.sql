-- The next jobs of some queues, to be judged by their gates.
-- takes: now or null, queues, how many of each, kinds, how many of each that are on their last lives
-- gives: (seq, number of the queue from 1, on its last life?, flow, gate that let it into the line again, when it expires,
--        is it behind a job that another claim has in hand, or that waits at its gate (see Candidate)?, now), in the order
--        of the queues and of their lines
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
    SELECT wanted.place, true AS suspect, one.seq, one.flow, one.parked_by, one.expires_at, one.priority, one.lifo, one.run_at
    FROM wanted CROSS JOIN LATERAL (
        SELECT seq, flow, parked_by, expires_at, priority, lifo, run_at FROM {schema}.jobs
        WHERE state = 'available' AND queue = wanted.queue AND {last_life} = 1 AND kind = ANY ((SELECT $4::text[])::text[])
        ORDER BY queue, priority, {line}
        LIMIT (SELECT $5::bigint)
        FOR UPDATE SKIP LOCKED
    ) AS one
),
others AS MATERIALIZED (
    SELECT wanted.place, false AS suspect, one.seq, one.flow, one.parked_by, one.expires_at, one.priority, one.lifo, one.run_at,
        one.order_key, one.queue, one.kind
    FROM wanted CROSS JOIN LATERAL (
        SELECT seq, flow, parked_by, expires_at, priority, lifo, run_at, order_key, queue, kind FROM {schema}.jobs
        WHERE state = 'available' AND queue = wanted.queue AND {last_life} = 0 AND kind = ANY ((SELECT $4::text[])::text[])
        ORDER BY queue, priority, {line}
        LIMIT wanted.slots
        FOR UPDATE SKIP LOCKED
    ) AS one
),
heads AS MATERIALIZED (
    -- Of each gate with an order, and of each line and kind, the first that was picked: none before it was.
    SELECT DISTINCT ON (order_key, queue, kind) seq AS head, order_key AS gate, queue AS line_of, kind AS kind_of,
        ROW (priority, {line}) AS place
    FROM others WHERE order_key IS NOT NULL
    ORDER BY order_key, queue, kind, priority, {line}
),
behind AS MATERIALIZED (
    -- An earlier one may be parked there, too: the gate lets in as many as it has room for, not always the first.
    SELECT head FROM heads
    WHERE EXISTS (
        SELECT 1 FROM {schema}.jobs
        WHERE order_key = gate AND queue = line_of AND kind = kind_of AND state = 'available' AND {last_life} = 0
            AND ROW (priority, {line}) < place
    ) OR EXISTS (
        SELECT 1 FROM {schema}.jobs
        WHERE parked_by = gate AND queue = line_of AND kind = kind_of AND state = 'parked'
            AND ROW (priority, {line}) < place
    )
)
SELECT seq, place, suspect, flow, parked_by, expires_at, seq IN (SELECT head FROM behind), coalesce($1::bigint, {clock})
FROM (
    SELECT * FROM suspects
    UNION ALL
    SELECT place, suspect, seq, flow, parked_by, expires_at, priority, lifo, run_at FROM others
) AS picked
ORDER BY place, NOT suspect, priority, {line}
