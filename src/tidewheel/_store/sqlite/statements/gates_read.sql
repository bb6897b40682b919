-- Gates as they are, and what is said of their limits and of any single gate of theirs.
-- takes: keys (JSON list), limits (JSON list)
-- gives: a JSON list of [key, used, level, shut_until, waiting, needs, opens_at, holder], where a gate that nobody knows is
--        missing, and one of [name, declared, operator]
SELECT (
    SELECT json_group_array(json_array(gates.key, gates.used, gates.level, gates.shut_until, gates.waiting, gates.needs,
        gates.opens_at, gates.holder))
    FROM json_each(?1) AS asked CROSS JOIN tidewheel_gates AS gates ON gates.key = asked.value
), (
    SELECT json_group_array(json_array(limits.name, limits.declared, limits.operator))
    FROM json_each(?2) AS asked CROSS JOIN tidewheel_limits AS limits
        ON limits.name = asked.value OR (limits.name > asked.value || ':' AND limits.name < asked.value || ';')
)
