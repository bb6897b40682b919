#!lua flags=no-writes
-- The edges in which jobs are parent or child.
-- ask: ids
-- gives: a list of: parent, child, edge (see family.lua), parent, ...; one may be there twice
local found = {}

local function give(parent, child, text)
    if text then
        found[#found + 1], found[#found + 2], found[#found + 3] = parent, child, text
    end
end

for _, id in ipairs(ask) do
    local children = call('HGETALL', EDGES .. id)
    for place = 1, #children, 2 do
        give(id, children[place], children[place + 1])
    end
    for _, parent in ipairs(call('SMEMBERS', PARENTS .. id)) do
        give(parent, id, call('HGET', EDGES .. parent, id))
    end
end
return found
