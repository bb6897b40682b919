-- Jobs that wait, for whatever, and whose time is over, longest first.
-- takes: now, limit
-- gives: the columns of ending.Row
-- locks: their rows, passing over those that others hold
SELECT {row} FROM {schema}.jobs
WHERE expires_at <= $1 AND {waits}
ORDER BY expires_at, seq LIMIT $2
FOR UPDATE SKIP LOCKED
