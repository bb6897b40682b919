-- The first enqueued of the jobs of a backlog that wait.
-- takes: backlog, how many
-- gives: rows of (seq, id, state, keep_failed, parked_by, awaited)
SELECT seq, id, state, keep_failed, parked_by, awaited FROM tidewheel_jobs
WHERE backlog = ? AND finished_at IS NULL AND lease_until IS NULL ORDER BY seq LIMIT ?
