-- How many jobs of a backlog wait?
-- takes: backlog
SELECT count(*) FROM tidewheel_jobs WHERE backlog = ? AND finished_at IS NULL AND lease_until IS NULL
