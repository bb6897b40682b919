-- Keep log lines, in their order.
-- takes: an array of each: seq of the job, at, level, message
INSERT INTO {schema}.logs (job, at, level, message)
SELECT job, at, level, message
FROM unnest((SELECT $1::bigint[]), (SELECT $2::bigint[]), (SELECT $3::text[]), (SELECT $4::text[]))
    WITH ORDINALITY AS line (job, at, level, message, place)
ORDER BY place
