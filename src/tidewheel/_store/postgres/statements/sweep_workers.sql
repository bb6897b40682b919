-- Forget workers that are silent for long and hold no job.
-- takes: seen at or before, limit
-- gives: (seen_at, id)
-- locks: their rows, passing over those that others hold
WITH silent AS MATERIALIZED (
    SELECT id FROM {schema}.workers AS workers
    WHERE seen_at <= $1
        AND NOT EXISTS (SELECT 1 FROM {schema}.jobs WHERE state = 'running' AND worker = workers.id)
    ORDER BY seen_at, id LIMIT $2
    FOR UPDATE SKIP LOCKED
)
DELETE FROM {schema}.workers AS workers USING silent WHERE workers.id = silent.id
RETURNING workers.seen_at, workers.id
