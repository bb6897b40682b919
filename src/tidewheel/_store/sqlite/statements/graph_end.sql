-- Write how children have ended into their open edges.
-- takes: ids of children (JSON list)
UPDATE tidewheel_edges SET (state, result, error) = (
    SELECT coalesce(jobs.state, 'cancelled'), jobs.result, iif(jobs.state = 'completed', NULL, jobs.error)
    FROM (SELECT 1) LEFT JOIN tidewheel_jobs AS jobs ON jobs.id = tidewheel_edges.child
)
WHERE child IN (SELECT value FROM json_each(?)) AND state IS NULL
