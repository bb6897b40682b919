-- Whose turn it is at a gate.
-- takes: key
-- gives: the job's id, or NULL when it is gone
SELECT (SELECT id FROM tidewheel_jobs WHERE seq = holder) FROM tidewheel_gates WHERE key = ?
