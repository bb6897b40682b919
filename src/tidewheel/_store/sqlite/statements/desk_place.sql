-- The place of a new job in its line.
-- takes: run_at, seq
UPDATE tidewheel_jobs SET run_at = ? WHERE seq = ?
