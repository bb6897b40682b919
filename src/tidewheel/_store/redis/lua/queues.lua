#!lua flags=no-writes
-- Queues that have settings or jobs, with counts.
-- ask: nothing
-- gives: a list of [name, paused?, {state: count}, run_at of the job that waits longest or nil]
local found = {}

local function queue_of(name)
    if not found[name] then
        found[name] = { name, false, { total = 0 }, false }
    end
    return found[name]
end

-- The earliest run_at in a line: of each (priority, lifo) class the first, for lifo the last.
local function oldest_in(key)
    local oldest, from = nil, '-'
    while true do
        local first = call('ZRANGEBYLEX', key, from, '+', 'LIMIT', 0, 1)[1]
        if not first then
            return oldest
        end
        local class = string.sub(first, 1, 5)
        if string.sub(class, 5, 5) == '0' then
            first = call('ZREVRANGEBYLEX', key, '[' .. class .. '\255', '[' .. class, 'LIMIT', 0, 1)[1]
        end
        local head = head_of(string.sub(first, 41))
        local run_at = head and tonumber(head[RUN_AT])
        if run_at and (not oldest or run_at < oldest) then
            oldest = run_at
        end
        from = '(' .. class .. '\255'
    end
end

local settings = call('HGETALL', QUEUES)
for index = 1, #settings, 2 do
    queue_of(settings[index])[2] = settings[index + 1] == '1'
end
local counted = call('HGETALL', COUNTS)
for index = 1, #counted, 2 do
    local state, name = string.match(counted[index], '^(%l+):(.*)$')
    if state and counted[index + 1] ~= '0' then
        queue_of(name)[3][state] = tonumber(counted[index + 1])
    end
end
local answers = {}
for name, one in pairs(found) do
    if one[3].available then
        local oldest
        for line, kinds in pairs({ line = kinds_of(name), suspects = suspect_kinds_of(name) }) do
            for _, kind in ipairs(call('SMEMBERS', kinds)) do
                local first = oldest_in(places_of(name, kind)[line])
                if first and (not oldest or first < oldest) then
                    oldest = first
                end
            end
        end
        one[4] = oldest or false
    end
    answers[#answers + 1] = pack({ one[1], one[2], one[3], one[4] })
end
return answers
