-- Give slots back at gates where nobody waits and of which there is nothing else to say: most are such.
-- takes: how many slots of each, keys (JSON list)
-- gives: the number of gates
UPDATE tidewheel_gates SET used = max(0, used - ?1), idle_at = iif(used > ?1, NULL, shut_until)
WHERE key IN (SELECT value FROM json_each(?2)) AND NOT waiting AND opens_at IS NULL AND level = '[]'
