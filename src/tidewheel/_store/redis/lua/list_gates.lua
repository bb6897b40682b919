#!lua flags=allow-oom
-- uses: states, gate, rules, turns, calm, gates
-- Gates by their keys.
-- ask: now or nil, limits whose gates are meant, keys of gates (both empty: all), at most so many
-- gives: a list of [key, limit, used, waiting?, room, opens_at or nil, shut_until or nil, id of the job whose turn it is or nil,
--        rules that are merged for it (JSON or false): declared, the operator's, his for this gate]
local now, limits, asked, few = clock(ask[1]), ask[2], ask[3], ask[4]
local found, seen = {}, {}

local function find(keys)
    for _, key in ipairs(keys) do
        if not seen[key] and call('HEXISTS', GATES, key) == 1 then
            seen[key] = true
            found[#found + 1] = key
        end
    end
end

find(asked)
for _, limit in ipairs(limits) do
    find({ limit })
    find(call('ZRANGEBYLEX', GATE_KEYS, '[' .. limit .. ':', '(' .. limit .. ';', 'LIMIT', 0, few))
end
if #asked == 0 and #limits == 0 then
    find(call('ZRANGEBYLEX', GATE_KEYS, '-', '+', 'LIMIT', 0, few))
end
table.sort(found)

local answers = {}
for index = 1, math.min(few, #found) do
    local gate = gates().gate_at(found[index])
    local holder = gates().holder_of(gate) or cjson.null
    local free, at = gates().room(gates().rule_of(gate), gate, now, 1)
    local held = gate.shut_until > now and gate.shut_until or cjson.null
    answers[index] = pack({
        gate.key, gate.limit, gate.used, gate.waiting, free, at or cjson.null, held, holder, gates().words_of(gate),
    })
end
return answers
