-- Drop the oldest lines of a job beyond a number.
-- takes: job, job again, lines to keep
DELETE FROM tidewheel_logs
WHERE job = ? AND seq <= (SELECT seq FROM tidewheel_logs WHERE job = ? ORDER BY seq DESC LIMIT 1 OFFSET ?)
