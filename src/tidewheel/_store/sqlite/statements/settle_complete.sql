-- Complete the jobs whose lease still holds: those without limits that nobody waits for, or all.
-- takes: now, JSON list of [id, epoch, result, progress], all?
-- gives: the number of jobs completed
UPDATE tidewheel_jobs
SET state = 'completed', finished_at = ?1, lease_until = NULL, cancel_requested = 0,
    result = done.result, progress = coalesce(done.progress, tidewheel_jobs.progress), prune_at = ?1 + keep_completed
FROM (
    SELECT value ->> 0 AS id, value ->> 1 AS epoch, value ->> 2 AS result, value ->> 3 AS progress FROM json_each(?2)
) AS done
WHERE tidewheel_jobs.id = done.id AND tidewheel_jobs.epoch = done.epoch AND tidewheel_jobs.state = 'running'
    AND (?3 OR (tidewheel_jobs.flow IS NULL AND tidewheel_jobs.awaited IS NULL))
