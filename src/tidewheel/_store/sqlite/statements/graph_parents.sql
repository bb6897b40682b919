-- Those of these jobs that wait for their children.
-- takes: ids (JSON list)
-- gives: rows of (id, seq, queue, run_at, keep_failed, on_dead, awaited, does it wait for one still?), by id
SELECT jobs.id, jobs.seq, jobs.queue, jobs.run_at, jobs.keep_failed, jobs.on_dead, jobs.awaited,
    EXISTS (SELECT 1 FROM tidewheel_edges INDEXED BY tidewheel_edges_open WHERE parent = jobs.id AND state IS NULL)
FROM json_each(?) AS asked CROSS JOIN tidewheel_jobs AS jobs ON jobs.id = asked.value
WHERE jobs.state = 'parked' AND +jobs.parked_by = ':children'
ORDER BY jobs.id
