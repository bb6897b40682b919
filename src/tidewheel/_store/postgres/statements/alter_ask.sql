-- Ask running jobs to stop.
-- takes: seqs
-- locks: the rows; the caller has locked them already
UPDATE {schema}.jobs SET cancel_requested = true WHERE seq = ANY ($1::bigint[])
