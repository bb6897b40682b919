#!lua flags=allow-oom
-- uses: states, gate, rules, turns, calm, gates
-- Hand out available jobs under leases.
-- ask: now or nil, wants (each: queue, slots), kinds, worker, lease, one on its last life, too?
-- gives: a list of: id, both parts of the head, arguments, and tags, meta, options (msgpack values) or nil; id, ...
local now = clock(ask[1])
local worker, lease, suspects = ask[4], ask[5], ask[6]
local known = {}
for _, kind in ipairs(ask[3]) do
    known[kind] = true
end

-- The next members of one line, fetched a few at a time.
local function reader(key, few)
    local from, buffer, place = 0, {}, 0
    return function()
        if place == #buffer and (from == 0 or #buffer == few) then
            buffer, place = call('ZRANGE', key, from, from + few - 1), 0
            from = from + #buffer
        end
        place = place + 1
        return buffer[place]
    end
end

-- The first `slots` jobs of a queue: its lines (`line` or `suspects`) merged; `among` is the set of the kinds that have
-- one. Gives the members, and beside them the line of each: a list of next member, kind, key, following(), number of
-- members picked.
local function pick(queue, slots, line, among)
    local queued, picked, from, waiting = {}, {}, {}, {}
    for _, kind in ipairs(call('SMEMBERS', among)) do
        if known[kind] then
            waiting[#waiting + 1] = kind
        end
    end
    for _, kind in ipairs(waiting) do
        local key = places_of(queue, kind)[line]
        local following = reader(key, #waiting == 1 and slots or math.ceil(slots / #waiting) + 4)
        queued[#queued + 1] = { following(), kind, key, following, 0 }
    end
    for number = 1, slots do
        local first = queued[1]
        for index = 2, #queued do
            local one = queued[index]
            if one[1] and (not first[1] or one[1] < first[1]) then
                first = one
            end
        end
        if not first or not first[1] then
            break
        end
        picked[number], from[number] = first[1], first
        first[1], first[5] = first[4](), first[5] + 1
    end
    -- What was picked of a line is its beginning.
    for _, one in ipairs(queued) do
        if one[5] > 0 then
            call('ZREMRANGEBYRANK', one[3], 0, one[5] - 1)
            if not one[1] then
                call('SREM', among, one[2])
            end
        end
    end
    return picked, from
end

local PARKED_MOST = 1000  -- others wait while a script runs: the line is walked on by the next claim
local UNREADABLE = '\193'  -- in the place of a job's extras: no value of msgpack

local claimed, size, least, parked = {}, 0, nil, 0
local calm  -- the gates, once a job with limits was met

local function row_of(key)
    return call('HMGET', key, 's', 'h', 'a', 'x', 'g', 'b', 'u')
end

-- The rows of the jobs from here on, some of which have limits: their gates are read in one go.
local function rows_from(first, members)
    local rows, flows, last = {}, {}, 0
    for index = first, #members do
        local row = row_of(JOB .. string.sub(members[index], 41))
        rows[index] = row
        if row[5] then
            last = last + 1
            flows[last] = row[5]
        end
    end
    calm = calm_gates()
    calm.fetch(flows)
    return rows
end

-- Gives how many of the jobs start; the others are parked, or set aside.
local function lend(queue, members, from)
    local before, rows = size, nil
    for index, member in ipairs(members) do
        local id = string.sub(member, 41)
        local key = JOB .. id
        local row = rows and rows[index] or row_of(key)
        if row[5] and not rows then
            rows = rows_from(index, members)
        end
        local head = row[1] and row[2] and row[3] and read_head(row[1], row[2])
        local admitted, extras = true, row[4]
        if head and row[5] and (row[6] or row[7] or not calm.take(row[5])) then
            admitted = gates().admit(id, head, row[5], row[6], now, row[7])
            extras = admitted == nil and UNREADABLE or extras
        end
        if admitted == false then
            parked = parked + 1
        elseif head then
            count('available', queue, -1)
            least = least or epoch_floor()
            local epoch = head[EPOCH] < least and least + head[EPOCH] % 1000 or head[EPOCH]
            head[EPOCH], head[ATTEMPT] = epoch + 1, head[ATTEMPT] + 1
            head[STARTED_AT], head[LEASE] = now, now + lease
            enter(id, head, 'running')
            local packed = packed_head(head)
            call('HSET', key, 'h', packed, 'w', worker)
            claimed[size + 1], claimed[size + 2], claimed[size + 3] = id, row[1], packed
            claimed[size + 4], claimed[size + 5] = row[3], extras
            size = size + 5
        else
            if row[6] then
                gates().pass_by(id, row[6], queue, from[index][2])
            end
            set_aside(id, seq_in(member), 'available', queue, from[index][2], now)
        end
    end
    return (size - before) / 5
end

-- Hand out so many jobs of a queue, and gives how many. Those that gates refuse leave holes; they are filled from the line.
local function fill(queue, slots, line, among)
    local lent, ended = 0, false
    while lent < slots and not ended and parked < PARKED_MOST do
        local members, from = pick(queue, slots - lent, line, among)
        ended = #members < slots - lent
        lent = lent + lend(queue, members, from)
    end
    return lent
end

for _, want in ipairs(ask[2]) do
    local queue, slots = want[1], want[2]
    if slots > 0 and call('HGET', QUEUES, queue) ~= '1' then
        if suspects then
            local lent = fill(queue, 1, 'suspects', suspect_kinds_of(queue))
            suspects = lent == 0
            slots = slots - lent
        end
        fill(queue, slots, 'line', kinds_of(queue))
    end
end
if parked >= PARKED_MOST then
    hints.work = true
end
flush()
look_at_gates(now)
ring()
return claimed
