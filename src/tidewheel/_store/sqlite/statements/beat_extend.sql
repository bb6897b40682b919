-- Extend leases.
-- takes: lease_until, JSON list of [id, epoch, progress]
UPDATE tidewheel_jobs
SET lease_until = ?, progress = coalesce(held.progress, tidewheel_jobs.progress)
FROM (SELECT value ->> 0 AS id, value ->> 1 AS epoch, value ->> 2 AS progress FROM json_each(?)) AS held
WHERE tidewheel_jobs.id = held.id AND tidewheel_jobs.epoch = held.epoch AND tidewheel_jobs.state = 'running'
