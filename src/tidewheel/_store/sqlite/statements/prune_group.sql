-- The next (queue, kind) after this one that has finished jobs.
-- takes: queue, kind
SELECT queue, kind FROM tidewheel_jobs
WHERE finished_at IS NOT NULL AND (queue, kind) > (?, ?)
ORDER BY queue, kind LIMIT 1
