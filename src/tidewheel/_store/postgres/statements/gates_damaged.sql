-- Set jobs aside whose limits cannot be read, so that their neighbours run.
-- takes: now, seqs, type and message of the error
-- gives: the ids of those that others wait for
-- locks: the rows; the caller has locked them already
WITH ended AS (
    UPDATE {schema}.jobs
    SET state = 'discarded', finished_at = $1::bigint, prune_at = $1::bigint + keep_failed, parked_by = NULL, error_type = $3,
        error_message = $4, error_traceback = ''
    WHERE seq = ANY ($2::bigint[])
    RETURNING id, awaited
)
SELECT id FROM ended WHERE awaited
