-- takes: seqs (JSON list)
DELETE FROM tidewheel_edges
WHERE parent IN (SELECT id FROM tidewheel_jobs WHERE seq IN (SELECT value FROM json_each(?)))
