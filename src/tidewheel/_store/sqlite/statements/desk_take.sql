-- A job has taken a key.
-- takes: key, job_id, since, until, used, look_at
INSERT OR REPLACE INTO tidewheel_keys (key, job_id, since, until, used, look_at) VALUES (?, ?, ?, ?, ?, ?)
