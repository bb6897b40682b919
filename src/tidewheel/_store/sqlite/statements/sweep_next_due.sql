-- When there is something to do next: a job due or expired, a lease over, or a gate to look at.
SELECT min(moment) FROM (
    SELECT min(run_at) AS moment FROM tidewheel_jobs WHERE (state = 'scheduled' OR state = 'retryable')
    UNION ALL
    SELECT min(lease_until) FROM tidewheel_jobs WHERE state = 'running'
    UNION ALL
    SELECT min(opens_at) FROM tidewheel_gates WHERE opens_at IS NOT NULL
    UNION ALL
    SELECT min(expires_at) FROM tidewheel_jobs
    WHERE expires_at IS NOT NULL AND finished_at IS NULL AND lease_until IS NULL
)
