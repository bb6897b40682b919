-- The next (queue, kind) after this one that has finished jobs: of this queue, or else of the next.
-- takes: queue, kind, queue again
-- gives: them as bytes: as text, a name that is no UTF-8 would not come back as it is, and its turn would never end
SELECT CAST(queue AS BLOB), CAST(kind AS BLOB) FROM (
    SELECT queue, kind FROM tidewheel_jobs
    WHERE finished_at IS NOT NULL AND queue = CAST(? AS TEXT) AND kind > CAST(? AS TEXT)
    ORDER BY kind LIMIT 1
)
UNION ALL
SELECT CAST(queue AS BLOB), CAST(kind AS BLOB) FROM (
    SELECT queue, kind FROM tidewheel_jobs
    WHERE finished_at IS NOT NULL AND queue > CAST(? AS TEXT)
    ORDER BY queue, kind LIMIT 1
)
LIMIT 1
