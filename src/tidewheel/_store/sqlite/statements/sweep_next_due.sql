-- When there is something to do next: a job due, or a lease over.
SELECT min(moment) FROM (
    SELECT min(run_at) AS moment FROM tidewheel_jobs WHERE (state = 'scheduled' OR state = 'retryable')
    UNION ALL
    SELECT min(lease_until) FROM tidewheel_jobs WHERE state = 'running'
)
