-- Complete jobs, with limits or without. One whose lease is lost, or that somebody waits for, fails the statement: then none
-- is completed. One that is gone is left out.
-- takes: now, JSON list of [id, epoch, result, progress]
-- gives: the number of jobs completed
UPDATE tidewheel_jobs
SET state = iif(state = 'running' AND tidewheel_jobs.epoch = done.epoch AND awaited IS NULL, 'completed', NULL),
    finished_at = ?1, lease_until = NULL, cancel_requested = 0,
    result = done.result, progress = coalesce(done.progress, tidewheel_jobs.progress), prune_at = ?1 + keep_completed
FROM (
    SELECT value ->> 0 AS id, value ->> 1 AS epoch, value ->> 2 AS result, value ->> 3 AS progress FROM json_each(?2)
) AS done
WHERE tidewheel_jobs.id = done.id
