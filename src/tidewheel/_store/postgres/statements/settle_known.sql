-- Which of these settlements were written, now or by an earlier call whose reply was lost?
-- takes: ids, epochs
-- gives: (id, epoch)
SELECT jobs.id, jobs.epoch
FROM unnest((SELECT $1::text[]), (SELECT $2::bigint[])) AS asked (id, epoch)
JOIN {schema}.jobs AS jobs ON jobs.id = asked.id
WHERE jobs.epoch = asked.epoch AND jobs.state <> 'running'
