-- Gates and their rules, for whoever is about to judge.
-- takes: keys (sorted)
-- gives: (key, used, level, shut_until, waiting, needs, opens_at, holder, and as JSON or null what was declared for its limit,
--        what the operator says of the limit and of this gate)
-- locks: the gates, in the order of their keys; the caller has the calm of gates_calm
--
-- LATERAL, so that the planner cannot turn the join round: it would go through all gates, in the order of their keys.
SELECT held.key, held.used, held.level, held.shut_until, held.waiting, held.needs, held.opens_at, held.holder,
    named.declared, named.operator, own.operator
FROM unnest((SELECT $1::text[])) AS asked (key)
CROSS JOIN LATERAL (
    SELECT * FROM {schema}.gates WHERE gates.key = asked.key FOR UPDATE
) AS held
LEFT JOIN {schema}.limits AS named ON named.name = held."limit"
LEFT JOIN {schema}.limits AS own ON own.name = held.key AND own.name <> held."limit"
