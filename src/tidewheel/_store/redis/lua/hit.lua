#!lua flags=allow-oom
-- uses: states, gate, rules, turns, calm, gates
-- Ask for starts by hand: what a rate has room for is taken.
-- ask: now or nil, hits (each: limit, value, cost)
-- gives: a list of [allowed?, remaining, retry_at or nil, reset_at or nil], or, when one is of no rate and nothing was done, its number (from 0)
--        and the rules that are merged for it (JSON or false): declared, the operator's, his for this gate
local now, answers = clock(ask[1]), {}

local function gate_of(hit)
    return gates().gate_at(hit[2] == '' and hit[1] or hit[1] .. ':' .. hit[2], hit[1])
end

for index, hit in ipairs(ask[2]) do
    local gate = gate_of(hit)
    local rule = gates().rule_of(gate)
    if not rule or rule.slots or not rule.count then
        return pack({ index - 1, gates().words_of(gate) })
    end
end
for index, hit in ipairs(ask[2]) do
    local gate = gate_of(hit)
    local rule = gates().rule_of(gate)
    local free, at = gates().room(rule, gate, now, hit[3])
    if free > 0 then
        gates().taken(rule, gate, now, hit[3], false)
    end
    local left, whole = gates().room(rule, gate, now, 1), gates().whole_at(rule, gate)
    answers[index] = { free > 0, left, at or cjson.null, whole > now and whole or cjson.null }
end
gates().write()
flush()
ring()
return pack(answers)
