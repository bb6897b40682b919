-- Change a job that waits. NULL leaves a column as it is; flow and expires_at go with args.
-- takes: state, run_at, priority, args, flow, expires_at, meta, change the tags?, tags, seq
UPDATE tidewheel_jobs
SET state = ?1, run_at = coalesce(?2 - iif(?1 = 'available', coalesce(lead, 0), 0), run_at),
    priority = coalesce(?3, priority), args = coalesce(?4, args), flow = iif(?4 IS NULL, flow, ?5),
    expires_at = iif(?4 IS NULL, expires_at, ?6), meta = coalesce(?7, meta), tags = iif(?8, ?9, tags)
WHERE seq = ?10
