-- Jobs whose time has come.
-- takes: now, limit
-- gives: how many were promoted
-- locks: their rows, passing over those that others hold
WITH due AS MATERIALIZED (
    SELECT seq FROM {schema}.jobs
    WHERE state IN ('scheduled', 'retryable') AND run_at <= $1
    ORDER BY run_at, seq LIMIT $2
    FOR UPDATE SKIP LOCKED
),
promoted AS (
    UPDATE {schema}.jobs AS jobs SET state = 'available', run_at = run_at - coalesce(lead, 0)
    FROM due WHERE jobs.seq = due.seq RETURNING 1
)
SELECT count(*) FROM promoted
