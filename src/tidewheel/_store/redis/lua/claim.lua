#!lua flags=allow-oom
-- Hand out available jobs under leases.
-- ask: now or nil, wants (each: queue, slots), kinds, worker, lease
-- gives: a list of jobs, each a msgpack array in the fields of `Claimed`
local now = clock(ask[1])
local worker, lease = ask[4], ask[5]
local known = {}
for _, kind in ipairs(ask[3]) do
    known[kind] = true
end

-- The next members of one line, fetched a few at a time.
local function reader(key, few)
    local from, buffer, place = 0, {}, 0
    return function()
        if place == #buffer then
            buffer, place = call('ZRANGE', key, from, from + few - 1), 0
            from = from + #buffer
        end
        place = place + 1
        return buffer[place]
    end
end

-- The first `slots` jobs of a queue: its lines merged. Gives the members and, beside them, their kinds.
local function pick(queue, slots)
    local heads, picked, picked_kinds, waiting = {}, {}, {}, {}
    for _, kind in ipairs(call('SMEMBERS', kinds_of(queue))) do
        if known[kind] then
            waiting[#waiting + 1] = kind
        end
    end
    for _, kind in ipairs(waiting) do
        local following = reader(places_of(queue, kind).line, #waiting == 1 and slots or math.ceil(slots / #waiting) + 4)
        heads[#heads + 1] = { following(), kind, following }
    end
    while #picked < slots do
        local first
        for _, one in ipairs(heads) do
            if one[1] and (not first or one[1] < first[1]) then
                first = one
            end
        end
        if not first then
            break
        end
        local number = #picked + 1
        picked[number], picked_kinds[number] = first[1], first[2]
        first[1] = first[3]()
    end
    return picked, picked_kinds
end

local claimed = {}
for _, want in ipairs(ask[2]) do
    local queue, slots = want[1], want[2]
    if slots > 0 and call('HGET', QUEUES, queue) ~= '1' then
        local members, their_kinds = pick(queue, slots)
        for index, member in ipairs(members) do
            local id, kind = string.sub(member, 41), their_kinds[index]
            local line = places_of(queue, kind).line
            drop(line, member)
            line_changed(line, queue, kind)
            local row = call('HMGET', JOB .. id, 'h', 'a', 'x')
            local head = row[2] and read_head(row[1] or '')
            if head then
                count('available', queue, -1)
                head[EPOCH], head[ATTEMPT] = head[EPOCH] + 1, head[ATTEMPT] + 1
                head[WORKER], head[STARTED_AT], head[LEASE] = worker, now, now + lease
                enter(id, head, 'running')
                save(id, head)
                claimed[#claimed + 1] = '\157' .. pack(
                    id, head[EPOCH], kind, queue, row[2], head[ATTEMPT], head[MAX_ATTEMPTS], head[CRASHES],
                    head[ENQUEUED_AT], now
                ) .. (row[3] or THREE_NILS)
            else
                local seq = tonumber(string.sub(member, 25, 40))
                set_aside(id, string.sub(member, 5, 5) == '0' and EXACT - seq or seq, 'available', queue, kind, now)
            end
        end
    end
end
flush()
ring()
return claimed
