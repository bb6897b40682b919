-- Complete the jobs whose lease still holds, and give their slots back.
-- takes: now or null, ids (sorted: all who lock several rows go by their ids), epochs, results, progress of each or null,
--        by itself? Then slots and turns are given back, too, and jobs that others wait for are left as they are
-- gives: how many, the gates that were given slots and that jobs wait at (or null), and now
-- locks: their rows, then the gates, in the order of their keys
--
-- The state stands behind a SELECT so that the only index to find a row by is that of the ids. A gate that jobs wait at
-- is due from now on: the caller looks at it next, and if he dies before, a sweep does.
--
-- The gates are there; the INSERT that finds them so is a join that the planner cannot turn round, which it would as
-- long as they are few, and keep for when they are many. `needs` carries the number, `holder` the job that gives up its turn,
-- and a `level` says that the gate is a breaker: one on trial (-1), whose time of being shut is over, is open to all now.
WITH at AS (
    SELECT coalesce($1::bigint, {clock}) AS now
),
done AS (
    UPDATE {schema}.jobs AS jobs
    SET state = 'completed', finished_at = at.now, lease_until = NULL, cancel_requested = false, result = ended.result,
        progress = coalesce(ended.progress, jobs.progress), prune_at = at.now + keep_completed
    FROM unnest((SELECT $2::text[]), (SELECT $3::bigint[]), (SELECT $4::text[]), (SELECT $5::text[]))
        AS ended (id, epoch, result, progress)
    CROSS JOIN at
    WHERE jobs.id = ended.id AND jobs.epoch = ended.epoch AND jobs.state = (SELECT 'running')
        AND (jobs.awaited IS NULL OR NOT (SELECT $6::boolean))
    RETURNING jobs.flow, jobs.seq, {lone_slot} AS slot
),
freed AS MATERIALIZED (
    SELECT key, count(*) FILTER (WHERE held) AS slots, max(turn) AS holder,
        CASE WHEN bool_or(trial) THEN CAST('{-1}' AS bigint[]) END AS trial
    FROM (
        SELECT slot AS key, true AS held, CAST(NULL AS bigint) AS turn, false AS trial
        FROM done WHERE slot IS NOT NULL AND (SELECT $6::boolean)
        UNION ALL
        SELECT step ->> 0 || CASE WHEN step ->> 1 = '' THEN '' ELSE ':' || (step ->> 1) END,
            CAST(step ->> 3 AS boolean), CASE WHEN step ->> 4 <> '' THEN seq END, step ->> 5 = 'true'
        FROM done CROSS JOIN LATERAL json_array_elements(CAST(flow AS json) -> 0) AS step
        WHERE flow IS NOT NULL AND slot IS NULL AND (SELECT $6::boolean)
            AND (CAST(step ->> 3 AS boolean) OR step ->> 4 <> '')
    ) AS given
    GROUP BY key ORDER BY key
),
opened AS (
    INSERT INTO {schema}.gates (key, "limit", needs, opens_at, holder, level)
    SELECT key, split_part(key, ':', 1), slots, at.now, holder, trial FROM freed CROSS JOIN at
    ON CONFLICT (key) DO UPDATE
    SET used = greatest(0, gates.used - excluded.needs), holder = nullif(gates.holder, excluded.holder),
        level = CASE WHEN gates.level[1] >= 0 OR gates.shut_until > excluded.opens_at OR excluded.level IS NULL THEN gates.level END,
        opens_at = CASE WHEN gates.waiting THEN least(gates.opens_at, excluded.opens_at) ELSE gates.opens_at END
    RETURNING key, waiting
)
SELECT (SELECT count(*) FROM done), (SELECT array_agg(key) FROM opened WHERE waiting), now FROM at
