-- Jobs whose time has come.
-- takes: now, limit
-- gives: the number of jobs promoted
UPDATE tidewheel_jobs SET state = 'available'
WHERE seq IN (
    SELECT seq FROM tidewheel_jobs WHERE (state = 'scheduled' OR state = 'retryable') AND run_at <= ? ORDER BY run_at, seq LIMIT ?
)
