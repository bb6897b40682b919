-- Add jobs as enqueue.sql does, of which some expire, have a backlog or a place of their own, wait for others or for their
-- turn.
-- takes: as enqueue.sql, with the columns of rows.MORE
-- gives: as enqueue.sql
-- locks: waits for other transactions that add the same id or unique key
WITH added AS (
    INSERT INTO {schema}.jobs (id, kind, queue, state, args, priority, run_at, lifo, max_attempts, max_crashes,
        enqueued_at, unique_key, tags, meta, options, keep_completed, keep_failed, on_dead, flow, expires_at, backlog,
        awaited, parked_by, order_key, lead)
    SELECT id, kind, queue,
        CASE WHEN parked_by IS NOT NULL THEN 'parked' WHEN due > now THEN 'scheduled' ELSE 'available' END,
        args, priority,
        coalesce(stands_at, CASE WHEN parked_by IS NULL AND due <= now THEN due - coalesce(lead, 0) ELSE due END), lifo, max_attempts, max_crashes, now, unique_key, CAST(tags AS text[]), meta, options,
        keep_completed, keep_failed, on_dead, flow, now + expires_in, backlog, awaited, parked_by, order_key,
        lead
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
