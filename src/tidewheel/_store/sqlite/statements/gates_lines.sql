-- The lines under gates: a queue and a kind each, found by jumping through the index from one to the next.
-- takes: gates (JSON list)
-- gives: one JSON list of [gate, seq of a job of that queue and kind, jobs that wait in the line already (at most 1000),
--        seq of the first that is parked]
WITH RECURSIVE lines (gate, one) AS (
    SELECT value, (SELECT seq FROM tidewheel_jobs WHERE parked_by = value ORDER BY queue, kind LIMIT 1) FROM json_each(?)
    UNION ALL
    SELECT lines.gate, coalesce(
        (SELECT seq FROM tidewheel_jobs
            WHERE parked_by = lines.gate AND queue = last.queue AND kind > last.kind ORDER BY kind LIMIT 1),
        (SELECT seq FROM tidewheel_jobs
            WHERE parked_by = lines.gate AND queue > last.queue ORDER BY queue, kind LIMIT 1)
    )
    FROM lines CROSS JOIN tidewheel_jobs AS last ON last.seq = lines.one
)
SELECT json_group_array(json_array(lines.gate, lines.one,
    (
        SELECT count(*) FROM (
            SELECT 1 FROM tidewheel_jobs
            WHERE parked_by = lines.gate AND queue = jobs.queue AND kind = jobs.kind AND state = 'available' LIMIT 1000
        )
    ),
    (
        SELECT seq FROM tidewheel_jobs
        WHERE parked_by = lines.gate AND queue = jobs.queue AND kind = jobs.kind AND state = 'parked'
        ORDER BY priority, line, turn LIMIT 1
    )))
FROM lines CROSS JOIN tidewheel_jobs AS jobs ON jobs.seq = lines.one
