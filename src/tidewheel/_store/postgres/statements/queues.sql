-- Settings and counts by queue and state.
-- gives: (queue, state, count, run_at of the oldest) and, for settings, (queue, null, 1 when paused, null)
SELECT queue, state, count(*), CASE WHEN state = 'available' THEN min(run_at) END
FROM {schema}.jobs GROUP BY queue, state
UNION ALL
SELECT name, NULL, CASE WHEN paused THEN 1 ELSE 0 END, NULL FROM {schema}.queues
