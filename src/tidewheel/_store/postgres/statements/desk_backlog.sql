-- How many jobs of some names wait, and the first enqueued of them, as many as may have to go.
-- takes: names, up to which number to count each (null: all), and how many may wait beside those that the call adds
--        (null: none is to go)
-- gives: (name, number, and the columns of ending.Row or nulls), in the order of the enqueue
-- locks: the jobs, passing over those that others hold: they are being claimed or ended. The caller has locked the names,
--        so nobody else adds to them
SELECT asked.name, counted.number, old.*
FROM unnest((SELECT $1::text[]), (SELECT $2::bigint[]), (SELECT $3::bigint[])) AS asked (name, up_to, most)
CROSS JOIN LATERAL (
    SELECT count(*) AS number FROM (
        SELECT 1 FROM {schema}.jobs WHERE backlog = asked.name AND {waits} LIMIT asked.up_to
    ) AS waiting
) AS counted
LEFT JOIN LATERAL (
    SELECT {row} FROM {schema}.jobs WHERE backlog = asked.name AND {waits}
    ORDER BY backlog, seq
    LIMIT CASE WHEN asked.most IS NULL THEN 0 ELSE greatest(0, counted.number - asked.most) END
    FOR UPDATE SKIP LOCKED
) AS old ON true
