-- The (queue, kind) pairs that have finished jobs, found by jumping from one to the next in the index.
WITH RECURSIVE pairs AS (
    (SELECT queue, kind FROM {schema}.jobs WHERE {final} ORDER BY queue, kind LIMIT 1)
    UNION ALL
    SELECT next.queue, next.kind
    FROM pairs CROSS JOIN LATERAL (
        SELECT jobs.queue, jobs.kind FROM {schema}.jobs AS jobs
        WHERE jobs.{final} AND (jobs.queue, jobs.kind) > (pairs.queue, pairs.kind)
        ORDER BY jobs.queue, jobs.kind LIMIT 1
    ) AS next
)
SELECT queue, kind FROM pairs
