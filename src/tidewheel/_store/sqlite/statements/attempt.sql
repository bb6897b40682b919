-- Keep the record of an attempt that did not simply complete.
-- takes: job, epoch, attempt, worker, started_at, ended_at, outcome, error
INSERT OR IGNORE INTO tidewheel_attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?)
