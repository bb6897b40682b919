-- Add jobs, many at a time; rows that clash with an id or a live unique key are left out.
-- takes: rows of (id, kind, queue, state, args, priority, run_at, lifo, max_attempts, max_crashes, enqueued_at,
--        unique_key, tags, meta, options, keep_completed, keep_failed, on_dead, flow, expires_at, backlog, lead)
-- gives: the number of rows added
INSERT INTO tidewheel_jobs (id, kind, queue, state, args, priority, run_at, lifo, max_attempts, max_crashes,
    enqueued_at, unique_key, tags, meta, options, keep_completed, keep_failed, on_dead, flow, expires_at, backlog,
    lead)
VALUES {rows}
ON CONFLICT DO NOTHING
