-- A job that waits goes, or must pass others from now on: it gives up the place where it has its turn.
-- takes: now, seq, gate at which it stays, or NULL
-- gives: the number of gates, one or none
UPDATE tidewheel_gates SET holder = NULL, opens_at = iif(waiting, ?1, opens_at),
    idle_at = iif(used OR waiting, NULL, shut_until)
WHERE holder = ?2 AND key IS NOT ?3
