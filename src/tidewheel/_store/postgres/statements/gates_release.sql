-- Gates with room let the first of the jobs parked under them back into their lines: for each (queue, kind) until as many
-- are there and not yet claimed as there is room for.
-- takes: keys of gates, room of each, now
-- gives: how many jobs, and whether one was passed over that may not be
-- locks: the jobs, passing over those that others hold. The gates are locked by the caller in an earlier statement: so
--        this one sees every job that was parked under them. Nobody waits here for a job while holding a gate.
--
-- The gates are there; see settle_complete why they are written by an INSERT.
-- Who holds a parked job may leave it as it is; so where one was passed over, the next sweep looks at the gate again.
WITH RECURSIVE asked AS MATERIALIZED (
    SELECT gate, room FROM unnest((SELECT $1::text[]), (SELECT $2::bigint[])) AS asked (gate, room)
),
pairs AS (
    -- By jumping from one to the next in the index. A gate under which there is nothing has one pair of nulls.
    SELECT asked.gate, asked.room, first.queue, first.kind
    FROM asked LEFT JOIN LATERAL (
        SELECT queue, kind FROM {schema}.jobs WHERE parked_by = asked.gate ORDER BY queue, kind LIMIT 1
    ) AS first ON true
    UNION ALL
    SELECT pairs.gate, pairs.room, next.queue, next.kind
    FROM pairs CROSS JOIN LATERAL (
        SELECT jobs.queue, jobs.kind FROM {schema}.jobs AS jobs
        WHERE jobs.parked_by = pairs.gate AND (jobs.queue, jobs.kind) > (pairs.queue, pairs.kind)
        ORDER BY jobs.queue, jobs.kind LIMIT 1
    ) AS next
),
lines AS MATERIALIZED (
    -- The state of those that are there stands behind a SELECT: else an index of all that is available would do.
    SELECT gate, queue, kind, greatest(0, room - (
        SELECT count(*) FROM (
            SELECT 1 FROM {schema}.jobs AS jobs
            WHERE jobs.parked_by = pairs.gate AND jobs.queue = pairs.queue AND jobs.kind = pairs.kind
                AND jobs.state = (SELECT 'available')
            LIMIT 1000
        ) AS there
    )) AS places
    FROM pairs
),
chosen AS MATERIALIZED (
    SELECT lines.*, ARRAY(
        SELECT seq FROM {schema}.jobs AS jobs
        WHERE jobs.parked_by = lines.gate AND jobs.queue = lines.queue AND jobs.kind = lines.kind
            AND jobs.state = 'parked'
        ORDER BY priority, {line}
        LIMIT lines.places
        FOR UPDATE SKIP LOCKED
    ) AS seqs
    FROM lines
),
opened AS (
    UPDATE {schema}.jobs AS jobs SET state = 'available'
    WHERE jobs.seq = ANY (ARRAY(SELECT unnest(seqs) FROM chosen))
    RETURNING 1
),
rest AS MATERIALIZED (
    SELECT gate, bool_or(parked) AS parked, bool_or(parked AND cardinality(seqs) < places) AS missed
    FROM (
        SELECT chosen.*, EXISTS (
            SELECT 1 FROM {schema}.jobs AS jobs
            WHERE jobs.parked_by = chosen.gate AND jobs.queue = chosen.queue AND jobs.kind = chosen.kind
                AND jobs.state = 'parked'
            OFFSET cardinality(chosen.seqs)
        ) AS parked
        FROM chosen
    ) AS still
    GROUP BY gate
),
written AS (
    INSERT INTO {schema}.gates (key, "limit", waiting, opens_at)
    SELECT gate, split_part(gate, ':', 1), parked, CASE WHEN missed THEN $3::bigint END FROM rest
    ON CONFLICT (key) DO UPDATE
    SET waiting = excluded.waiting, needs = CASE WHEN excluded.waiting THEN gates.needs ELSE 1 END,
        opens_at = excluded.opens_at
)
SELECT (SELECT count(*) FROM opened), (SELECT bool_or(missed) FROM rest)
