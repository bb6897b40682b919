-- Put the next jobs of some queues under a lease, with limits of slots that nobody waits at and that have room for all.
-- takes: now or null, queues, slots of each, kinds, worker, lease time, one on its last life, too?
-- gives: as claim, and whether any of them has limits; one row of nulls, and nothing is taken, when any gate is not plainly
--        open: then rounds decide. It ends with the keys of gates that nobody met before, if that is all.
-- locks: the rows it takes, then the gates, in the order of their keys; rows that others hold are passed over
--
-- Plainly open: declared with slots and nothing else, no word of an operator; the gate is not shut, nobody waits at it,
-- nobody is to look at it, it remembers nothing. The job came by no gate, and does not expire.
-- The limits stay as they are meanwhile; who changes them goes first. (One that changed between the beginning of this
-- statement and its first step is not seen yet: it counts as changed a moment later. Nobody is parked here by its old
-- word, which would be another matter: see gates_calm.)
-- See settle_complete why gates are written by an INSERT.
WITH calm AS MATERIALIZED (
    SELECT {try_calm} AS kept
),
suspect AS MATERIALIZED (
    SELECT one.seq, one.queue, one.flow, one.plain
    FROM unnest((SELECT $2::text[] FROM calm WHERE kept), (SELECT $3::bigint[])) WITH ORDINALITY
        AS wanted (queue, slots, place)
    CROSS JOIN LATERAL (
        SELECT seq, queue, flow, parked_by IS NULL AND expires_at IS NULL AS plain FROM {schema}.jobs
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
    SELECT ready.seq, ready.flow, ready.plain
    FROM unnest((SELECT $2::text[] FROM calm WHERE kept), (SELECT $3::bigint[])) AS wanted (queue, slots)
    CROSS JOIN LATERAL (
        SELECT seq, flow, parked_by IS NULL AND expires_at IS NULL AS plain FROM {schema}.jobs
        WHERE state = 'available' AND queue = wanted.queue AND {last_life} = 0 AND kind = ANY ((SELECT $4::text[])::text[])
            AND NOT EXISTS (SELECT 1 FROM {schema}.queues WHERE name = wanted.queue AND paused)
        ORDER BY queue, priority, {line}
        LIMIT wanted.slots - (SELECT count(*) FROM suspect WHERE suspect.queue = wanted.queue)
        FOR UPDATE SKIP LOCKED
    ) AS ready
),
picked AS MATERIALIZED (
    SELECT seq, flow, plain FROM suspect UNION ALL SELECT seq, flow, plain FROM others
),
alike AS MATERIALIZED (
    -- Many jobs have the same flow.
    SELECT flow, count(*) AS jobs,
        bool_and(plain) AND (flow IS NULL OR json_typeof(CAST(flow AS json) -> 0) IS NOT DISTINCT FROM 'array') AS plain
    FROM picked GROUP BY flow
),
steps AS MATERIALIZED (
    SELECT step ->> 0 || CASE WHEN step ->> 1 = '' THEN '' ELSE ':' || (step ->> 1) END COLLATE "C" AS key,
        step ->> 0 AS "limit", sum(alike.jobs) AS slots,
        bool_and(coalesce(step ->> 1 IS NOT NULL AND CAST(step ->> 3 AS boolean), false) AND coalesce(step ->> 4, '') = '') AS plain
    FROM alike CROSS JOIN LATERAL json_array_elements(CAST(alike.flow AS json) -> 0) AS step
    WHERE alike.flow IS NOT NULL AND alike.plain
    GROUP BY 1, 2 ORDER BY 1
),
rules AS MATERIALIZED (
    -- Most often one, so it is read once, and not once for each key.
    SELECT named."limit",
        (SELECT CAST(CAST(declared AS jsonb) ->> 'slots' AS bigint) FROM {schema}.limits
            WHERE name = named."limit" AND operator IS NULL AND CAST(declared AS jsonb) - 'slots' = '{}') AS slots,
        EXISTS (
            SELECT 1 FROM {schema}.limits WHERE name > named."limit" || ':' AND name < named."limit" || ';'
        ) AS parted
    FROM (SELECT DISTINCT "limit" FROM steps) AS named
),
held AS MATERIALIZED (
    SELECT steps.key, steps.slots, gate.key AS known, rules.slots IS NOT NULL AND NOT rules.parted AND (
            gate.key IS NULL OR gate.used + steps.slots <= rules.slots AND NOT gate.waiting AND gate.opens_at IS NULL
                AND gate.level IS NULL AND gate.shut_until = 0 AND gate.holder IS NULL
        ) AS open
    FROM steps JOIN rules ON rules."limit" = steps."limit"
    LEFT JOIN LATERAL (
        SELECT * FROM {schema}.gates WHERE gates.key = steps.key FOR UPDATE
    ) AS gate ON true
),
verdict AS MATERIALIZED (
    SELECT (SELECT kept FROM calm) AND (SELECT coalesce(bool_and(plain), true) FROM alike)
        AND (SELECT coalesce(bool_and(plain), true) FROM steps)
        AND (SELECT coalesce(bool_and(open), true) FROM held) AS open,
        (SELECT array_agg(key) FROM held WHERE known IS NULL) AS new
),
passed AS (
    INSERT INTO {schema}.gates (key, "limit", needs)
    SELECT held.key, split_part(held.key, ':', 1), held.slots FROM held CROSS JOIN verdict
    WHERE verdict.open AND verdict.new IS NULL
    ON CONFLICT (key) DO UPDATE SET used = gates.used + excluded.needs
),
taken AS (
    UPDATE {schema}.jobs AS jobs
    SET state = 'running', epoch = epoch + 1, attempt = attempt + 1, started_at = at.now, lease_until = at.now + $6,
        worker = $5
    FROM (SELECT coalesce($1::bigint, {clock}) AS now) AS at
    WHERE jobs.seq = ANY (ARRAY(
        SELECT seq FROM picked WHERE (SELECT verdict.open AND verdict.new IS NULL FROM verdict)
    ))
    RETURNING id, epoch, kind, queue, args, attempt, max_attempts, crashes, enqueued_at, started_at, tags, meta,
        options, max_crashes, priority, run_at, lifo, seq
)
SELECT id, epoch, kind, queue, args, attempt, max_attempts, crashes, enqueued_at, started_at, tags, meta, options,
    max_crashes, EXISTS (SELECT 1 FROM alike WHERE flow IS NOT NULL), CASE WHEN verdict.open THEN verdict.new END
FROM verdict LEFT JOIN taken ON true
WHERE NOT verdict.open OR verdict.new IS NOT NULL OR taken.id IS NOT NULL
ORDER BY array_position((SELECT $2::text[]), queue), seq <> ALL (ARRAY(SELECT seq FROM suspect)), priority, {line}
