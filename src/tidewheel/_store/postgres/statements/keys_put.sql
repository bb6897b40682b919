-- Write who holds keys.
-- takes: now, keys, job, since, until and used of each
-- locks: their rows; the caller has locked them already
--
-- They are there; see settle_complete why this is an INSERT.
INSERT INTO {schema}.keys (key, job_id, since, until, used, look_at)
SELECT key, job_id, since, until, used, greatest($1::bigint, until)
FROM unnest((SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::bigint[]), (SELECT $5::bigint[]), (SELECT $6::int[]))
    AS taken (key, job_id, since, until, used)
ON CONFLICT (key) DO UPDATE
SET job_id = excluded.job_id, since = excluded.since, until = excluded.until, used = excluded.used,
    look_at = excluded.look_at
