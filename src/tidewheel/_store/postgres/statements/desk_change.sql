-- Let jobs that wait take over what newer ones say.
-- takes: an array of each: seq, state, run_at or null, priority or null, args or null, flow, order_key and expires_at (written
--        with the args), meta or null, tags (an array as text) or null
-- locks: the rows; the caller has locked them already
UPDATE {schema}.jobs AS jobs
SET state = said.state, run_at = coalesce(said.run_at, jobs.run_at), priority = coalesce(said.priority, jobs.priority),
    args = coalesce(said.args, jobs.args),
    flow = CASE WHEN said.args IS NULL THEN jobs.flow ELSE said.flow END,
    order_key = CASE WHEN said.args IS NULL THEN jobs.order_key ELSE said.order_key END,
    expires_at = CASE WHEN said.args IS NULL THEN jobs.expires_at ELSE said.expires_at END,
    meta = coalesce(said.meta, jobs.meta),
    tags = CASE WHEN said.tags IS NULL THEN jobs.tags ELSE nullif(CAST(said.tags AS text[]), '{}') END
FROM unnest((SELECT $1::bigint[]), (SELECT $2::text[]), (SELECT $3::bigint[]), (SELECT $4::int[]), (SELECT $5::text[]),
        (SELECT $6::text[]), (SELECT $7::text[]), (SELECT $8::bigint[]), (SELECT $9::text[]), (SELECT $10::text[]))
    AS said (seq, state, run_at, priority, args, flow, order_key, expires_at, meta, tags)
WHERE jobs.seq = said.seq
