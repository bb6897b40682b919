-- Jobs have ended: those of them that had their turn at a gate give up the place. Who waits there is looked at.
-- takes: now, JSON list of [id, epoch]
UPDATE tidewheel_gates SET holder = NULL, opens_at = iif(waiting, ?1, opens_at),
    idle_at = iif(used OR waiting, NULL, shut_until)
WHERE holder IN (
    SELECT jobs.seq FROM json_each(?2) AS asked CROSS JOIN tidewheel_jobs AS jobs ON jobs.id = asked.value ->> 0
    WHERE jobs.epoch = asked.value ->> 1 AND jobs.finished_at IS NOT NULL
)
