-- Put jobs with limits under a lease: they have passed all their gates.
-- takes: started_at, lease_until, worker, seqs (JSON list)
UPDATE tidewheel_jobs
SET state = 'running', epoch = epoch + 1, attempt = attempt + 1, started_at = ?, lease_until = ?, worker = ?,
    parked_by = NULL
WHERE seq IN (SELECT value FROM json_each(?))
