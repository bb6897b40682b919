-- The job that has this id, or else the live one that holds this unique key.
-- takes: id, unique_key
-- gives: (id, state), if any
SELECT id, state FROM (
    SELECT id, state, 0 AS place FROM tidewheel_jobs WHERE id = ?1
    UNION ALL
    SELECT id, state, 1 FROM tidewheel_jobs WHERE unique_key = ?2 AND finished_at IS NULL
)
ORDER BY place LIMIT 1
