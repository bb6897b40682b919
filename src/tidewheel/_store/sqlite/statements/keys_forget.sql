-- Forget those of these keys that can hold no more: their period is over and their job is gone. While it is there, it may
-- be retried, and who asks says in which states it holds.
-- takes: now, keys (JSON list)
DELETE FROM tidewheel_keys
WHERE key IN (SELECT value FROM json_each(?2)) AND until <= ?1
    AND NOT EXISTS (SELECT 1 FROM tidewheel_jobs WHERE id = job_id)
