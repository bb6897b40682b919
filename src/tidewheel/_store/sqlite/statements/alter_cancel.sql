-- Cancel a job that waits.
-- takes: finished_at, prune_at, seq
UPDATE tidewheel_jobs
SET state = 'cancelled', finished_at = ?, prune_at = ?, lease_until = NULL, cancel_requested = 0,
    parked_by = NULL
WHERE seq = ?
