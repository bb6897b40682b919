-- Until when the jobs of a group are beyond the number to keep.
-- takes: queue, kind, state, number to keep
SELECT finished_at, seq FROM tidewheel_jobs
WHERE queue = ? AND kind = ? AND state = ? AND state IN ('completed', 'cancelled', 'discarded')
ORDER BY finished_at DESC, seq DESC LIMIT 1 OFFSET ?
