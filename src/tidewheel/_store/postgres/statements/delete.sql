-- Remove jobs with their past.
-- takes: seqs
-- locks: the rows; the caller has locked them already
WITH attempts AS (
    DELETE FROM {schema}.attempts WHERE job = ANY ($1::bigint[])
),
logs AS (
    DELETE FROM {schema}.logs WHERE job = ANY ($1::bigint[])
)
DELETE FROM {schema}.jobs WHERE seq = ANY ($1::bigint[])
