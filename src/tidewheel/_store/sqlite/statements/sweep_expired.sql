-- Running jobs whose lease is over, longest first.
-- takes: now, limit
SELECT seq, id, epoch, attempt, max_attempts, crashes, max_crashes, queue, worker, started_at, cancel_requested,
    keep_failed, on_dead, flow, awaited
FROM tidewheel_jobs WHERE state = 'running' AND lease_until <= ? ORDER BY lease_until, seq LIMIT ?
