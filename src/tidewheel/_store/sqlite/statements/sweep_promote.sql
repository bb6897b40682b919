-- Jobs whose time has come: they are in the line, at their place.
-- takes: now, limit
-- gives: the number of jobs promoted
UPDATE tidewheel_jobs SET state = 'available', run_at = run_at - coalesce(lead, 0)
WHERE seq IN (
    SELECT seq FROM tidewheel_jobs WHERE (state = 'scheduled' OR state = 'retryable') AND run_at <= ? ORDER BY run_at, seq LIMIT ?
)
