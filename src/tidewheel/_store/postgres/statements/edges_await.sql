-- Mark jobs that others wait for from now on.
-- takes: seqs
-- locks: the rows; the caller has locked them already
UPDATE {schema}.jobs SET awaited = true WHERE seq = ANY ((SELECT $1::bigint[])::bigint[]) AND awaited IS NULL
