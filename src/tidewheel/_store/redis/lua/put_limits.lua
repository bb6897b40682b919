#!lua flags=allow-oom
-- uses: states, gate, rules, turns, calm, gates
-- Store rules of limits.
-- ask: now or nil, declared?, rows (each: name, rule as JSON or nil)
-- gives: for each row the rule declared and the operator's (JSON or nil)
local now, side = clock(ask[1]), ask[2] and DECLARED or OPERATOR
for _, row in ipairs(ask[3]) do
    gates().put(side, row[1], row[2], now)
end
gates().write()
flush()
hints.due, hints.control = true, true
ring()
local answers = {}
for index, row in ipairs(ask[3]) do
    answers[index] = { call('HGET', DECLARED, row[1]), call('HGET', OPERATOR, row[1]) }
end
return answers
