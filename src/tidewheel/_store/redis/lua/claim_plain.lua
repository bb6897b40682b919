#!lua flags=allow-oom
-- Hand out available jobs under leases where all of them are plain: what claim.lua does (and a test compares), without the
-- functions that others need. Somebody waits for a lone job to start, and a server makes every function anew whenever a
-- script runs.
-- ask: as claim.lua
-- gives: as claim.lua; nil, and nothing is changed, where it takes more: jobs with limits, backlogs, an expiry, on their last
--        life or damaged, several kinds in one queue
local now, worker, lease = clock(ask[1]), ask[4], ask[5]
local known, seen, rows, size = {}, {}, {}, 0
for _, kind in ipairs(ask[3]) do
    known[kind] = true
end

for _, want in ipairs(ask[2]) do
    local queue, slots, line = want[1], want[2], nil
    if seen[queue] or ask[6] and call('EXISTS', ROOT .. 'suspects:' .. queue) == 1 then
        return nil
    end
    seen[queue] = true
    if slots > 0 and call('HGET', QUEUES, queue) ~= '1' then
        for _, kind in ipairs(call('SMEMBERS', ROOT .. 'kinds:' .. queue)) do
            if known[kind] and line then
                return nil
            elseif known[kind] then
                line = { #queue .. ':' .. queue .. ':' .. kind, kind }
            end
        end
    end
    for _, member in ipairs(line and call('ZRANGE', ROOT .. 'ready:' .. line[1], 0, slots - 1) or {}) do
        local id = string.sub(member, 41)
        local row = call('HMGET', JOB .. id, 's', 'h', 'a', 'x', 'g', 'b', 'u', 'q')
        local head = row[1] and row[2] and row[3] and read_head(row[1], row[2])
        if not head or row[5] or row[6] or row[7] or row[8] then
            return nil
        end
        size = size + 1
        rows[size] = { id, head, row, line, queue }
    end
end

local claimed, taken, leases = {}, {}, {}
local least = size > 0 and epoch_floor() or nil
for index, one in ipairs(rows) do
    local id, head, row, line, queue = unpack(one)
    local epoch = head[EPOCH] < least and least + head[EPOCH] % 1000 or head[EPOCH]
    head[EPOCH], head[ATTEMPT] = epoch + 1, head[ATTEMPT] + 1
    head[STARTED_AT], head[LEASE], head[STATE] = now, now + lease, 'running'
    local packed = packed_head(head)
    call('HSET', JOB .. id, 'h', packed, 'w', worker)
    leases[2 * index - 1], leases[2 * index] = head[LEASE], id
    local place = index * 5 - 4
    claimed[place], claimed[place + 1], claimed[place + 2] = id, row[1], packed
    claimed[place + 3], claimed[place + 4] = row[3], row[4]
    taken[queue] = taken[queue] or { 0, line }
    taken[queue][1] = taken[queue][1] + 1
end
for first = 1, #leases, 2000 do
    call('ZADD', LEASES, unpack(leases, first, math.min(first + 1999, #leases)))
end
for queue, one in pairs(taken) do
    local count, line = one[1], ROOT .. 'ready:' .. one[2][1]
    call('ZREMRANGEBYRANK', line, 0, count - 1)
    if call('EXISTS', line) == 0 then
        call('SREM', ROOT .. 'kinds:' .. queue, one[2][2])
    end
    call('HINCRBY', COUNTS, 'available:' .. queue, -count)
    call('HINCRBY', COUNTS, 'running:' .. queue, count)
end
return claimed
