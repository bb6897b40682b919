-- Cancel a job that waits.
-- takes: finished_at, prune_at, error, seq
UPDATE tidewheel_jobs
SET state = 'cancelled', finished_at = ?, prune_at = ?, error = coalesce(?, error), lease_until = NULL,
    cancel_requested = 0, parked_by = NULL
WHERE seq = ?
