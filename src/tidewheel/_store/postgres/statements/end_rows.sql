-- Write how attempts ended that did not simply complete, and keep their records; and how jobs ended that waited (they have
-- no record).
-- takes: now, 1 for a rescue (epoch and crashes grow) or 0, then an array of each: seq, state, attempt, run_at,
--        keep_failed, error (type, message, traceback), progress or null,
--        outcome of the record, its error (type, message, traceback)
-- locks: the rows; the caller has locked them already
WITH ended AS (
    SELECT * FROM unnest((SELECT $3::bigint[]), (SELECT $4::text[]), (SELECT $5::int[]),
        (SELECT $6::bigint[]), (SELECT $7::bigint[]),
        (SELECT $8::text[]), (SELECT $9::text[]), (SELECT $10::text[]), (SELECT $11::text[]), (SELECT $12::text[]),
        (SELECT $13::text[]), (SELECT $14::text[]), (SELECT $15::text[]))
    AS ended (seq, state, attempt, run_at, keep_failed, error_type, error_message, error_traceback, progress, outcome,
        why_type, why_message, why_traceback)
),
recorded AS (
    INSERT INTO {schema}.attempts (job, epoch, attempt, worker, started_at, ended_at, outcome, error_type,
        error_message, error_traceback)
    SELECT jobs.seq, jobs.epoch, jobs.attempt, jobs.worker, coalesce(jobs.started_at, $1), $1, ended.outcome,
        ended.why_type, ended.why_message, ended.why_traceback
    FROM ended JOIN {schema}.jobs AS jobs ON jobs.seq = ended.seq
    WHERE ended.outcome IS NOT NULL
    ON CONFLICT DO NOTHING
)
UPDATE {schema}.jobs AS jobs
SET state = ended.state, attempt = ended.attempt, run_at = ended.run_at, lease_until = NULL, cancel_requested = false,
    parked_by = NULL, epoch = jobs.epoch + $2::int, crashes = jobs.crashes + $2::int,
    finished_at = CASE WHEN ended.{final} THEN $1::bigint END,
    prune_at = CASE WHEN ended.{final} THEN $1::bigint + ended.keep_failed END,
    error_type = coalesce(ended.error_type, jobs.error_type),
    error_message = CASE WHEN ended.error_type IS NULL THEN jobs.error_message ELSE ended.error_message END,
    error_traceback = CASE WHEN ended.error_type IS NULL THEN jobs.error_traceback ELSE ended.error_traceback END,
    progress = coalesce(ended.progress, jobs.progress)
FROM ended WHERE jobs.seq = ended.seq
