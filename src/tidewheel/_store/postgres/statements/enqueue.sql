-- Add jobs, many at a time, in their order; a row that clashes with an id or a live unique key (of the table or of
-- an earlier row) is left out, or, without LEAVE_OUT in the place of {clash}, fails all of them.
-- takes: now or null, how many there are, a channel and a word to notify it with when any is available (or nulls),
--        then the columns of rows.NEW, each one value for all rows or an array
-- gives: how many were added, how many of them as available, and, when any was left out, the ids added
-- locks: waits for other transactions that add the same id or unique key
WITH added AS (
    INSERT INTO {schema}.jobs (id, kind, queue, state, args, priority, run_at, lifo, max_attempts, max_crashes,
        enqueued_at, unique_key, tags, meta, options, keep_completed, keep_failed, on_dead, flow)
    SELECT id, kind, queue, CASE WHEN due > now THEN 'scheduled' ELSE 'available' END, args, priority, due, lifo,
        max_attempts, max_crashes, now, unique_key, CAST(tags AS text[]), meta, options, keep_completed, keep_failed,
        on_dead, flow
    FROM (
        SELECT *, coalesce(run_at, now + delay) AS due
        FROM (SELECT coalesce($1::bigint, {clock}) AS now, {values}, own.place FROM {rows}) AS given
    ) AS timed
    ORDER BY place
    {clash}
    RETURNING id, state
)
SELECT count(*), count(*) FILTER (WHERE state = 'available'),
    CASE WHEN count(*) < $2::bigint THEN array_agg(id) END,
    CASE WHEN $3::text IS NOT NULL AND count(*) FILTER (WHERE state = 'available') > 0 THEN pg_notify($3, $4::text) END
FROM added
