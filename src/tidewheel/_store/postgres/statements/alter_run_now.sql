-- Let jobs run that wait for their time.
-- takes: run_at, seqs
-- locks: the rows; the caller has locked them already
UPDATE {schema}.jobs SET state = 'available', run_at = $1 - coalesce(lead, 0) WHERE seq = ANY ($2::bigint[])
