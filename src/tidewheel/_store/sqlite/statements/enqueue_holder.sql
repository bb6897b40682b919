-- Who holds this unique key?
-- takes: unique_key
-- gives: (id, state) of the live job, if any
SELECT id, state FROM tidewheel_jobs
WHERE unique_key = ? AND finished_at IS NULL
