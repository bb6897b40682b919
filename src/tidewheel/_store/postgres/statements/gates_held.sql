-- What running jobs passed, and what the gates say: of one moment, so they agree unless a count is wrong.
-- gives: (flow, null, null) and (null, key, used)
SELECT flow, NULL::text, NULL::int FROM {schema}.jobs WHERE state = 'running' AND flow IS NOT NULL
UNION ALL
SELECT NULL, key, used FROM {schema}.gates WHERE used > 0
