-- A key, and the job that took it last.
-- takes: key
-- gives: (job_id, since, until, used, seq of the job or NULL, state, flow, parked_by, expires_at, keep_failed, backlog,
--        awaited), the flow as bytes, for it may be damaged
SELECT keys.job_id, keys.since, keys.until, keys.used, jobs.seq, jobs.state, CAST(jobs.flow AS BLOB), jobs.parked_by,
    jobs.expires_at, jobs.keep_failed, jobs.backlog, jobs.awaited
FROM tidewheel_keys AS keys LEFT JOIN tidewheel_jobs AS jobs ON jobs.id = keys.job_id
WHERE keys.key = ?
