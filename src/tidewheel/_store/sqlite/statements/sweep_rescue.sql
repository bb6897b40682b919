-- Take a job away from its lost worker.
-- takes: state, finished_at, prune_at, error, seq
UPDATE tidewheel_jobs
SET state = ?, epoch = epoch + 1, crashes = crashes + 1, lease_until = NULL, cancel_requested = 0,
    finished_at = ?, prune_at = ?, error = coalesce(?, error)
WHERE seq = ?
