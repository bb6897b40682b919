-- Which of these settlements were written, now or by an earlier call whose reply was lost, and which were left because
-- others wait for the job?
-- takes: ids, epochs
-- gives: (id, epoch, was it left?)
SELECT jobs.id, jobs.epoch, jobs.state = 'running'
FROM unnest((SELECT $1::text[]), (SELECT $2::bigint[])) AS asked (id, epoch)
JOIN {schema}.jobs AS jobs ON jobs.id = asked.id
WHERE jobs.epoch = asked.epoch AND (jobs.state <> 'running' OR jobs.awaited)
