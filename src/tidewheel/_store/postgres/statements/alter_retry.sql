-- Give ended jobs a fresh start; their epoch and history stay.
-- takes: run_at, seqs
-- locks: the rows; the caller has locked them already
UPDATE {schema}.jobs
SET state = 'available', run_at = $1 - coalesce(lead, 0), attempt = 0, crashes = 0, result = NULL, progress = NULL, error_type = NULL,
    error_message = NULL, error_traceback = NULL, finished_at = NULL, prune_at = NULL, expires_at = NULL,
    cancel_requested = false
WHERE seq = ANY ($2::bigint[])
