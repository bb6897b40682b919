-- A job need not wait for its time.
-- takes: now, seq
UPDATE tidewheel_jobs SET state = 'available', run_at = ? - coalesce(lead, 0) WHERE seq = ?
