-- The edges of jobs, each once.
-- takes: ids (JSON list)
-- gives: rows of (parent, child, place, on_failure, state, result, error as bytes)
SELECT parent, child, place, on_failure, state, result, CAST(error AS BLOB) FROM tidewheel_edges
WHERE parent IN (SELECT value FROM json_each(?1))
UNION
SELECT parent, child, place, on_failure, state, result, CAST(error AS BLOB) FROM tidewheel_edges
WHERE child IN (SELECT value FROM json_each(?1))
ORDER BY parent, place
