-- Keep log lines, in their order.
-- takes: an array of each: seq of the job, at, level, message
INSERT INTO {schema}.logs (job, at, level, message)
SELECT job, at, level, message
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) WITH ORDINALITY AS line (job, at, level, message, place)
ORDER BY place
