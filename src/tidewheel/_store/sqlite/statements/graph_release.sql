-- Parents that wait for nobody any more.
-- takes: now, seqs (JSON list)
UPDATE tidewheel_jobs SET state = iif(run_at > ?1, 'scheduled', 'available'), parked_by = NULL,
    run_at = run_at - iif(run_at > ?1, 0, coalesce(lead, 0))
WHERE seq IN (SELECT value FROM json_each(?2))
