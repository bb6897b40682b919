-- Give an ended job a fresh start; its epoch and history stay.
-- takes: run_at, seq
UPDATE tidewheel_jobs
SET state = 'available', run_at = ?, attempt = 0, crashes = 0, result = NULL, progress = NULL, error = NULL,
    finished_at = NULL, prune_at = NULL, cancel_requested = 0
WHERE seq = ?
