-- A running job under this lease.
-- takes: id, epoch
SELECT seq, queue, attempt, worker, started_at, run_at, cancel_requested, keep_failed, on_dead, flow, awaited
FROM tidewheel_jobs WHERE id = ? AND epoch = ? AND state = 'running'
