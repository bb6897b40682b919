-- Forget workers that are silent for long and hold no job.
-- takes: seen at or before, limit
DELETE FROM tidewheel_workers
WHERE id IN (
    SELECT id FROM tidewheel_workers AS silent
    WHERE seen_at <= ? AND NOT EXISTS (
        SELECT 1 FROM tidewheel_jobs WHERE state = 'running' AND worker = silent.id
    )
    ORDER BY seen_at, id LIMIT ?
)
RETURNING seen_at, id
