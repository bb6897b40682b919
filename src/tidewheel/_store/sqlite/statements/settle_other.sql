-- Write an outcome that is not plain completion.
-- takes: state, attempt, run_at, finished_at, prune_at, error, progress, seq
UPDATE tidewheel_jobs
SET state = ?, attempt = ?, run_at = ?, finished_at = ?, prune_at = ?, error = coalesce(?, error),
    progress = coalesce(?, progress), lease_until = NULL, cancel_requested = 0
WHERE seq = ?
