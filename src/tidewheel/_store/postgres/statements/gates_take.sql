-- Write what a walk through the line came to: jobs that start, jobs that are parked, and their gates.
-- takes: now, worker, lease time, seqs of those that start, seqs of those that are parked, gate of each; then of the
--        gates: keys, used, level (an array as text), shut_until, waiting, needs, holder, opens_at
-- gives: what a runner needs, and the seq, in no order
-- locks: the rows; the caller has locked them already
--
-- The gates are there; see settle_complete why they are written by an INSERT.
WITH parked AS (
    UPDATE {schema}.jobs AS jobs SET state = 'parked', parked_by = refused.gate
    FROM unnest((SELECT $5::bigint[]), (SELECT $6::text[])) AS refused (seq, gate)
    WHERE jobs.seq = refused.seq
),
written AS (
    INSERT INTO {schema}.gates (key, "limit", used, level, shut_until, waiting, needs, holder, opens_at)
    SELECT key, split_part(key, ':', 1), used, CAST(level AS bigint[]), shut_until, waiting, needs, holder, opens_at
    FROM unnest((SELECT $7::text[]), (SELECT $8::int[]), (SELECT $9::text[]), (SELECT $10::bigint[]),
            (SELECT $11::boolean[]), (SELECT $12::bigint[]), (SELECT $13::bigint[]), (SELECT $14::bigint[]))
        AS new (key, used, level, shut_until, waiting, needs, holder, opens_at)
    ON CONFLICT (key) DO UPDATE
    SET used = excluded.used, level = excluded.level, shut_until = excluded.shut_until, waiting = excluded.waiting,
        needs = excluded.needs, holder = excluded.holder, opens_at = excluded.opens_at
)
UPDATE {schema}.jobs AS jobs
SET state = 'running', epoch = epoch + 1, attempt = attempt + 1, started_at = $1::bigint, lease_until = $1::bigint + $3,
    worker = $2, parked_by = NULL
WHERE jobs.seq = ANY ((SELECT $4::bigint[])::bigint[])
RETURNING id, epoch, kind, queue, args, attempt, max_attempts, crashes, enqueued_at, started_at, tags, meta, options,
    max_crashes, seq
