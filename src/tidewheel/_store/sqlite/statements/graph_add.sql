-- The edges of a new parent. Of a child that has ended it says how.
-- Code that knew no graphs may have left edges of a job with the same id.
-- takes: parent, JSON list of [child, place, on_failure]
INSERT OR REPLACE INTO tidewheel_edges (parent, child, place, on_failure, state, result, error)
SELECT ?1, jobs.id, named.value ->> 1, named.value ->> 2,
    iif(jobs.finished_at IS NULL, NULL, jobs.state),
    iif(jobs.finished_at IS NULL, NULL, jobs.result),
    iif(jobs.finished_at IS NULL OR jobs.state = 'completed', NULL, jobs.error)
FROM json_each(?2) AS named CROSS JOIN tidewheel_jobs AS jobs ON jobs.id = named.value ->> 0
