-- Give an ended job a fresh start; its epoch and history stay.
-- takes: state, parked_by, now, seq
UPDATE tidewheel_jobs
SET state = ?1, parked_by = ?2, run_at = ?3 - iif(?1 = 'available', coalesce(lead, 0), 0), attempt = 0, crashes = 0, result = NULL, progress = NULL, error = NULL,
    expires_at = NULL, finished_at = NULL, prune_at = NULL, cancel_requested = 0
WHERE seq = ?4
