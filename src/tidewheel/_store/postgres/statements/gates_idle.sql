-- Gates that nobody uses, one page after the other.
-- takes: key before the page, now, how many
-- gives: as gates_lock
-- locks: the gates, passing over those that others hold; the caller has the calm of gates_calm
SELECT gates.key, gates.used, gates.level, gates.shut_until, gates.waiting, gates.needs, gates.opens_at, gates.holder,
    named.declared, named.operator, own.operator
FROM {schema}.gates AS gates
LEFT JOIN {schema}.limits AS named ON named.name = gates."limit"
LEFT JOIN {schema}.limits AS own ON own.name = gates.key AND own.name <> gates."limit"
WHERE gates.key > $1 AND gates.used = 0 AND NOT gates.waiting AND gates.shut_until <= $2
ORDER BY gates.key LIMIT $3
FOR UPDATE OF gates SKIP LOCKED
