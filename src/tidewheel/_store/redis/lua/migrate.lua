#!lua flags=allow-oom
-- uses: states
-- Bring the layout up to date, or set up an empty namespace.
-- ask: nothing
-- gives: the schema before (0: none), as text
local before = meta[1] or '0'
if before == '0' then
    call('HSET', KEYS[1], 'history', history())
end

-- 2: those on their last life leave their line for one of their own.
local function part(queue, kind)
    local key = places_of(queue, kind).line
    lines[key] = { kinds_of(queue), kind }
    for from = 0, call('ZCARD', key) - 1, 1000 do
        for _, member in ipairs(call('ZRANGE', key, from, from + 999)) do
            local head = head_of(string.sub(member, 41))
            local own = head and line_of(head)
            if own and own ~= key then
                drop(key, member)
                add(own, 0, member)
            end
        end
    end
end

if before == '1' then
    for _, field in ipairs(call('HKEYS', COUNTS)) do
        local queue = string.match(field, '^available:(.*)$')
        for _, kind in ipairs(queue and call('SMEMBERS', kinds_of(queue)) or {}) do
            part(queue, kind)
        end
    end
    flush()
end
if tonumber(before) < LAYOUT then
    call('HSET', KEYS[1], 'schema', LAYOUT, 'least', LEAST)
end
return before
