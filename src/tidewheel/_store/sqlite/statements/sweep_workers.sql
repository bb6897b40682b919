-- Forget workers that are silent for long and hold no job.
-- takes: seen before
DELETE FROM tidewheel_workers
WHERE seen_at <= ? AND NOT EXISTS (
    SELECT 1 FROM tidewheel_jobs WHERE state = 'running' AND worker = tidewheel_workers.id
)
RETURNING id
