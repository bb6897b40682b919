-- Running jobs whose lease is over, longest first.
-- takes: now, limit
-- locks: their rows, passing over those that others hold: somebody is settling or extending them
SELECT seq, id, epoch, attempt, max_attempts, crashes, max_crashes, queue, run_at, cancel_requested, keep_failed, on_dead,
    flow, awaited
FROM {schema}.jobs
WHERE state = 'running' AND lease_until <= $1
ORDER BY lease_until, seq LIMIT $2
FOR UPDATE SKIP LOCKED
