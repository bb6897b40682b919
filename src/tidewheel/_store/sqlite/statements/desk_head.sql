-- Where the first job of a line is, on its last life or not; lifo jobs are in none.
-- takes: queue, priority, seq of one to leave out
-- gives: its run_at, NULL when there is none
SELECT min(first) FROM (
    SELECT (
        SELECT run_at FROM tidewheel_jobs
        WHERE state = 'available' AND queue = ?1 AND last_life = 0 AND priority = ?2 AND line >= 0 AND NOT lifo AND seq <> ?3
        ORDER BY line, turn LIMIT 1
    ) AS first
    UNION ALL
    SELECT (
        SELECT run_at FROM tidewheel_jobs
        WHERE state = 'available' AND queue = ?1 AND last_life = 1 AND priority = ?2 AND line >= 0 AND NOT lifo AND seq <> ?3
        ORDER BY line, turn LIMIT 1
    )
)
