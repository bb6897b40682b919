-- Put the next jobs of some queues under a lease, with limits that nobody waits at and that have room for all of them.
-- takes: now or null, queues, slots of each, kinds, worker, lease time, one on its last life, too?
-- gives: as claim, in the order of the queues and of their lines, and whether any of them has limits; one row of nulls, and
--        nothing is taken, when any gate is not plainly open: then rounds decide
-- locks: the rows it takes, then the gates that are there, in the order of their keys, then those that it makes; rows that
--        others hold are passed over
--
-- Plainly open: declared with slots or a rate and nothing else, no word of an operator; the gate is not shut, nobody waits at
-- it, nobody is to look at it, and what its rate remembers needs no mending. The job came by no gate, and does not expire.
-- The arithmetic is that of `_model/gate.py`: `level` there is what the gate will remember here, null when there is no room.
-- The limits stay as they are meanwhile; who changes them goes first. (One that changed between the beginning of this
-- statement and its first step is not seen yet: it counts as changed a moment later. Nobody is parked here by its old
-- word, which would be another matter: see gates_calm.)
-- Gates that only count slots are looked at without their locks. What was seen is asked once more when one is written, under
-- its lock, with the number of its slots in `holder` and now in `shut_until`. If it is not so any more, or somebody made or
-- forgot a gate this very moment, all of this fails (the driver says DataError or UniqueViolationError), as nothing can be
-- taken back. See settle_complete why they are written by an INSERT.
WITH at AS MATERIALIZED (
    SELECT coalesce($1::bigint, {clock}) AS now
),
calm AS MATERIALIZED (
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
    SELECT flow, {lone_slot} AS slot, count(*) AS jobs, bool_and(plain) AS plain FROM picked GROUP BY flow
),
mixed AS MATERIALIZED (
    SELECT jobs, CAST(flow AS jsonb) -> 0 AS passes FROM alike WHERE flow IS NOT NULL AND slot IS NULL AND plain
),
steps AS MATERIALIZED (
    SELECT key, "limit", CAST(sum(jobs) AS bigint) AS jobs, CAST(sum(slots) AS bigint) AS slots,
        CAST(sum(cost) AS bigint) AS cost, bool_and(plain) AS plain
    FROM (
        SELECT slot AS key, split_part(slot, ':', 1) COLLATE "C" AS "limit", jobs, jobs AS slots, jobs AS cost, true AS plain
        FROM alike WHERE slot IS NOT NULL
        UNION ALL
        SELECT step ->> 0 || CASE WHEN step ->> 1 = '' THEN '' ELSE ':' || (step ->> 1) END, step ->> 0, jobs,
            CASE WHEN CAST(step -> 3 AS boolean) THEN jobs END, jobs * greatest(1, CAST(step -> 2 AS bigint)),
            coalesce(jsonb_typeof(step -> 3) = 'boolean' AND step ->> 1 IS NOT NULL, false)
                AND coalesce(step ->> 4, '') = '' AND coalesce(step ->> 5, 'false') = 'false'
        FROM mixed CROSS JOIN LATERAL jsonb_array_elements(passes) AS step
    ) AS step
    GROUP BY key, "limit" ORDER BY key
),
rules AS MATERIALIZED (
    -- Most often one, so it is read once, and not once for each key.
    SELECT named."limit", said.slots, said.count, said.per, said.algorithm,
        CASE said.algorithm WHEN 'bucket' THEN coalesce(said.burst, said.count)
            WHEN 'fixed' THEN said.count ELSE least(said.count, 1000) END AS most,
        (said.per + said.count - 1) / said.count AS step,
        said.plain AND (said.slots IS NOT NULL OR said.count > 0 AND said.per > 0) AND NOT EXISTS (
            SELECT 1 FROM {schema}.limits WHERE name > named."limit" || ':' AND name < named."limit" || ';'
        ) AS plain
    FROM (SELECT DISTINCT "limit" FROM steps) AS named
    LEFT JOIN LATERAL (
        SELECT CAST(rule -> 'slots' AS bigint) AS slots, nullif(CAST(rule -> 'count' AS bigint), 0) AS count,
            CAST(rule -> 'per' AS bigint) AS per, CAST(rule -> 'burst' AS bigint) AS burst,
            coalesce(rule ->> 'algorithm', 'sliding') AS algorithm,
            operator IS NULL AND rule - CAST('{slots,count,per,burst,algorithm}' AS text[]) = '{}' AS plain
        FROM (SELECT CAST(declared AS jsonb) AS rule, operator FROM {schema}.limits WHERE name = named."limit" OFFSET 0) AS stored
    ) AS said ON true
),
rates AS MATERIALIZED (
    SELECT EXISTS (SELECT 1 FROM rules WHERE count IS NOT NULL) AS there
),
held AS MATERIALIZED (
    SELECT steps.key, steps."limit", steps.slots, steps.jobs, steps.cost, steps.plain AND rules.plain AS plain,
        rules.slots AS all_slots, rules.count, rules.per, rules.algorithm, rules.most, rules.step, gate.key AS known,
        coalesce(gate.used, 0) AS used, gate.level, gate.level[1] AS first, gate.level[cardinality(gate.level)] AS last,
        gate.key IS NULL OR NOT gate.waiting AND gate.opens_at IS NULL AND gate.holder IS NULL
            AND gate.shut_until <= at.now AS quiet,
        at.now, greatest(at.now, gate.level[cardinality(gate.level)]) AS moment
    FROM steps CROSS JOIN at
    LEFT JOIN LATERAL (SELECT * FROM rules WHERE rules."limit" = steps."limit" OFFSET 0) AS rules ON true
    LEFT JOIN LATERAL (
        SELECT * FROM (
            SELECT * FROM {schema}.gates WHERE gates.key = steps.key AND (SELECT there FROM rates) FOR UPDATE
        ) AS locked
        UNION ALL
        SELECT * FROM {schema}.gates WHERE gates.key = steps.key AND NOT (SELECT there FROM rates)
    ) AS gate ON true
),
asked AS MATERIALIZED (
    SELECT key, "limit", known, now, coalesce(slots, 0) AS slots, coalesce(all_slots, 9223372036854775807) AS room,
        plain AND quiet AND (all_slots IS NULL OR slots = jobs AND used + slots <= all_slots) AS plain, count,
        CASE WHEN count IS NULL THEN level
        WHEN algorithm = 'bucket' THEN CASE
            WHEN level IS NULL OR cardinality(level) = 2 AND last <= now + per AND first <= moment + most * step
            THEN CASE WHEN greatest(first, moment) + cost * step - moment <= most * step
                THEN ARRAY[greatest(first, moment) + cost * step, moment] END
            END
        WHEN algorithm = 'fixed' THEN CASE
            WHEN level IS NULL OR first < now - now % per
            THEN CASE WHEN cost <= most THEN ARRAY[now - now % per, cost] END
            WHEN cardinality(level) = 2 AND first <= now + per AND last + cost <= most THEN ARRAY[first, last + cost]
            END
        WHEN level IS NULL OR first <= last AND last <= now + per THEN (
            SELECT CASE WHEN coalesce(cardinality(level), 0) - past + cost <= most
                THEN level[past + 1:] || array_fill(moment, ARRAY[CAST(cost AS int)]) END
            FROM (SELECT CAST(count(*) AS int) AS past FROM unnest(level) AS start WHERE start <= moment - per) AS gone
        ) END AS level
    FROM held
),
verdict AS MATERIALIZED (
    SELECT (SELECT kept FROM calm) AND NOT EXISTS (SELECT 1 FROM alike WHERE NOT plain)
        AND NOT EXISTS (SELECT 1 FROM mixed WHERE jsonb_typeof(passes) IS DISTINCT FROM 'array')
        AND NOT EXISTS (SELECT 1 FROM asked WHERE NOT coalesce(plain AND (count IS NULL OR level IS NOT NULL), false)) AS open
),
passed AS (
    INSERT INTO {schema}.gates (key, "limit", used, level, shut_until, holder)
    SELECT key, "limit", slots, level, now, room FROM asked WHERE known IS NOT NULL AND (SELECT open FROM verdict)
    ON CONFLICT (key) DO UPDATE SET used = gates.used + excluded.used,
        level = CASE WHEN (SELECT there FROM rates) THEN excluded.level ELSE gates.level END
    WHERE gates.used + excluded.used <= excluded.holder AND gates.shut_until <= excluded.shut_until
        AND NOT gates.waiting AND gates.opens_at IS NULL AND gates.holder IS NULL
    RETURNING holder IS NULL AS kept
),
made AS (
    -- Behind those that are there: the count is asked for nothing but that.
    INSERT INTO {schema}.gates (key, "limit", used, level)
    SELECT key, "limit", slots, level FROM asked WHERE known IS NULL AND (SELECT open FROM verdict)
        AND (SELECT count(*) FROM passed) >= 0
    RETURNING 1
),
sure AS MATERIALIZED (
    SELECT CASE WHEN (SELECT count(*) FROM passed WHERE kept) + (SELECT count(*) FROM made) < count(*)
        THEN CAST('Somebody passed one of these gates just now; the claim begins anew. ' || min(key) AS boolean) ELSE true END AS yes
    FROM asked WHERE (SELECT open FROM verdict)
),
taken AS (
    UPDATE {schema}.jobs AS jobs
    SET state = 'running', epoch = epoch + 1, attempt = attempt + 1, started_at = at.now, lease_until = at.now + $6,
        worker = $5
    FROM at
    WHERE jobs.seq = ANY (ARRAY(
        SELECT seq FROM picked WHERE (SELECT open FROM verdict) AND (SELECT yes FROM sure)
    ))
    RETURNING id, epoch, kind, queue, args, attempt, max_attempts, crashes, enqueued_at, started_at, tags, meta,
        options, max_crashes, priority, run_at, lifo, seq
)
SELECT id, epoch, kind, queue, args, attempt, max_attempts, crashes, enqueued_at, started_at, tags, meta, options,
    max_crashes, EXISTS (SELECT 1 FROM alike WHERE flow IS NOT NULL)
FROM verdict LEFT JOIN taken ON true
WHERE NOT verdict.open OR taken.id IS NOT NULL
ORDER BY array_position((SELECT $2::text[]), queue), seq <> ALL (ARRAY(SELECT seq FROM suspect)), priority, {line}
