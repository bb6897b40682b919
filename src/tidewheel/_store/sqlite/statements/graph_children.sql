-- Jobs that a new one is to wait for.
-- takes: ids (JSON list)
-- gives: rows of (id, state, error as bytes, has it ended?)
SELECT jobs.id, jobs.state, CAST(jobs.error AS BLOB), jobs.finished_at IS NOT NULL
FROM json_each(?) AS asked CROSS JOIN tidewheel_jobs AS jobs ON jobs.id = asked.value
