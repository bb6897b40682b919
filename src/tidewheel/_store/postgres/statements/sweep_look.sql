-- Is there anything to sweep? Most sweeps find nothing, and this is all they cost.
-- takes: now or null, silence after which a worker is forgotten
-- gives: (now, jobs to promote?, leases over?, workers to forget?, jobs whose own keeping time is over?, gates to
--        look at?, jobs that expired?, what is due next)
SELECT at.now,
    EXISTS (SELECT 1 FROM {schema}.jobs WHERE state IN ('scheduled', 'retryable') AND run_at <= at.now),
    EXISTS (SELECT 1 FROM {schema}.jobs WHERE state = 'running' AND lease_until <= at.now),
    EXISTS (SELECT 1 FROM {schema}.workers WHERE seen_at <= at.now - $2),
    EXISTS (SELECT 1 FROM {schema}.jobs WHERE prune_at <= at.now),
    EXISTS (SELECT 1 FROM {schema}.gates WHERE opens_at <= at.now),
    EXISTS (SELECT 1 FROM {schema}.jobs WHERE expires_at <= at.now AND {waits}),
    least(
        (SELECT run_at FROM {schema}.jobs WHERE state IN ('scheduled', 'retryable') ORDER BY run_at LIMIT 1),
        (SELECT lease_until FROM {schema}.jobs WHERE state = 'running' ORDER BY lease_until LIMIT 1),
        (SELECT opens_at FROM {schema}.gates WHERE opens_at IS NOT NULL ORDER BY opens_at LIMIT 1),
        (SELECT expires_at FROM {schema}.jobs WHERE expires_at IS NOT NULL AND {waits} ORDER BY expires_at LIMIT 1)
    )
FROM (SELECT coalesce($1::bigint, {clock}) AS now) AS at
