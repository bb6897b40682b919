-- Gates at which it is some job's turn.
-- gives: key, and what the job must pass, or null when it is gone or has ended
SELECT gates.key, jobs.flow
FROM {schema}.gates AS gates LEFT JOIN {schema}.jobs AS jobs ON jobs.seq = gates.holder AND jobs.finished_at IS NULL
WHERE gates.holder IS NOT NULL
