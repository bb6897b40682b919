-- Those of the jobs under these leases whose end is to be told.
-- takes: JSON list of [id, epoch]
-- gives: one JSON list of ids
SELECT json_group_array(jobs.id)
FROM json_each(?) AS asked CROSS JOIN tidewheel_jobs AS jobs ON jobs.id = asked.value ->> 0
WHERE jobs.epoch = asked.value ->> 1 AND jobs.state = 'running' AND jobs.awaited IS NOT NULL
