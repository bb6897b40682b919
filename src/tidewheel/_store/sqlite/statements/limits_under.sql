-- What is said of limits, and of any single gate of theirs.
-- takes: limits (JSON list)
-- gives: one JSON list of [name, declared, operator]
SELECT json_group_array(json_array(limits.name, limits.declared, limits.operator))
FROM json_each(?) AS asked CROSS JOIN tidewheel_limits AS limits
    ON limits.name = asked.value OR (limits.name > asked.value || ':' AND limits.name < asked.value || ';')
