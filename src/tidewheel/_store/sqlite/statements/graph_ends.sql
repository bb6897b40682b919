-- The open edges of children that have ended, and how they did. One that is gone was deleted while it waited.
-- takes: ids of children (JSON list)
-- gives: rows of (parent, child, place, on_failure, state, NULL, error as bytes), by parent
SELECT edges.parent, edges.child, edges.place, edges.on_failure, coalesce(jobs.state, 'cancelled'), NULL,
    CAST(jobs.error AS BLOB)
FROM json_each(?) AS ended CROSS JOIN tidewheel_edges AS edges ON edges.child = ended.value
    LEFT JOIN tidewheel_jobs AS jobs ON jobs.id = ended.value
WHERE edges.state IS NULL
ORDER BY edges.parent
