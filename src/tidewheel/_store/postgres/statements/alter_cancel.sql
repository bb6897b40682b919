-- Cancel jobs that wait.
-- takes: now, seqs
-- locks: the rows; the caller has locked them already
UPDATE {schema}.jobs
SET state = 'cancelled', finished_at = $1::bigint, prune_at = $1::bigint + keep_failed, lease_until = NULL,
    cancel_requested = false, parked_by = NULL
WHERE seq = ANY ($2::bigint[])
