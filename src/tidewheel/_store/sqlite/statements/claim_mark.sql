-- Put those of the picked jobs under a lease that have no limits.
-- takes: started_at, lease_until, worker, seqs (JSON list)
-- gives: the number of them
UPDATE tidewheel_jobs
SET state = 'running', epoch = epoch + 1, attempt = attempt + 1, started_at = ?, lease_until = ?, worker = ?
WHERE seq IN (SELECT value FROM json_each(?)) AND flow IS NULL
