-- Counts by queue and state, each part from its own index.
SELECT queue, state, count(*), min(run_at) FROM tidewheel_jobs
WHERE state = 'available' GROUP BY queue
UNION ALL
SELECT queue, state, count(*), NULL FROM tidewheel_jobs
WHERE (state = 'scheduled' OR state = 'retryable') GROUP BY queue, state
UNION ALL
SELECT queue, state, count(*), NULL FROM tidewheel_jobs
WHERE state = 'running' GROUP BY queue
UNION ALL
SELECT queue, state, count(*), NULL FROM tidewheel_jobs
WHERE finished_at IS NOT NULL GROUP BY queue, state
UNION ALL
SELECT queue, state, count(*), NULL FROM tidewheel_jobs
WHERE parked_by IS NOT NULL AND state = 'parked' GROUP BY queue
