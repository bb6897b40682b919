-- Gates, by their keys.
-- takes: limits, keys, how many; all gates when nothing is named
-- gives: as gates_lock
SELECT gates.key, gates.used, gates.level, gates.shut_until, gates.waiting, gates.needs, gates.opens_at, gates.holder,
    named.declared, named.operator, own.operator
FROM {schema}.gates AS gates
LEFT JOIN {schema}.limits AS named ON named.name = gates."limit"
LEFT JOIN {schema}.limits AS own ON own.name = gates.key AND own.name <> gates."limit"
WHERE (cardinality($1::text[]) = 0 AND cardinality($2::text[]) = 0)
    OR gates."limit" = ANY ($1::text[]) OR gates.key = ANY ($2::text[])
ORDER BY gates.key LIMIT $3
