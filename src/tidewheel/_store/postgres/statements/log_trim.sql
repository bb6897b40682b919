-- Drop the oldest lines of jobs beyond a number.
-- takes: seqs of the jobs, lines to keep
DELETE FROM {schema}.logs AS logs
USING (
    SELECT spoke.job, (
        SELECT seq FROM {schema}.logs WHERE job = spoke.job ORDER BY seq DESC OFFSET $2 LIMIT 1
    ) AS last
    FROM unnest($1::bigint[]) AS spoke (job)
) AS old
WHERE logs.job = old.job AND logs.seq <= old.last
