-- Jobs that wait and whose time is over, longest first.
-- takes: now, limit
-- gives: rows of (seq, id, state, keep_failed, parked_by, awaited)
SELECT seq, id, state, keep_failed, parked_by, awaited FROM tidewheel_jobs
WHERE expires_at <= ? AND finished_at IS NULL AND lease_until IS NULL ORDER BY expires_at, seq LIMIT ?
