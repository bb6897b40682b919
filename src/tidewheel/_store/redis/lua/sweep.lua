#!lua flags=allow-oom
-- uses: states, family, gate, rules, turns, calm, gates, withdraw
-- Expire, promote, rescue, open gates, forget workers, prune. `rescue_of` in _model/transition.py has the decisions.
-- ask: now or nil, limit, silent microseconds after which a worker is gone,
--      rules (each: kind, queue or nil, completed: count or nil, age or nil, failed: count or nil, age or nil),
--      error of a crash and of a lost lease (each: type, message, stack, with {crashes} and the like to fill in),
--      ids for jobs that tell of dead letters, columns of such a job, error of a job that expired
-- gives: [true, number] when so many ids may be needed, which are more than there are: nothing was done, ask again; or
--        [false, how many of them were used, expired, promoted, rescued, ids discarded, cancelled, workers gone, pruned, opened, now, more, next_due_at or false]
local KEYS_MOST = 2000  -- looked at in one sweep
local ENDS_MOST = 500  -- of jobs that are waited for: looked at by chance in one sweep
local now, limit, rules = clock(ask[1]), ask[2], ask[4]
supply.ids, supply.columns = ask[7], ask[8]

local function filled_in(template, head)
    return filled(template, {
        ['{crashes}'] = head[CRASHES] + 1, ['{max_crashes}'] = head[MAX_CRASHES], ['{attempt}'] = head[ATTEMPT],
        ['{max_attempts}'] = head[MAX_ATTEMPTS],
    })
end

-- What becomes of a job whose lease is over: state, error.
local function rescued_to(head)
    if head[CANCEL] then
        return 'cancelled'
    elseif head[CRASHES] + 1 >= head[MAX_CRASHES] then
        return 'discarded', filled_in(ask[5], head)
    elseif head[ATTEMPT] >= head[MAX_ATTEMPTS] then
        return 'discarded', filled_in(ask[6], head)
    end
    return 'available'
end

-- Those whose lease is over, longest first; of those whose lease ended together the ones that were enqueued first.
local function longest_over()
    local found = call('ZRANGEBYSCORE', LEASES, '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
    if #found == 2 * limit then
        local last = found[#found]
        local tied = call('ZRANGEBYSCORE', LEASES, last, last, 'WITHSCORES')
        while #found > 0 and found[#found] == last do
            found[#found], found[#found - 1] = nil, nil
        end
        for _, value in ipairs(tied) do
            found[#found + 1] = value
        end
    end
    local over = {}
    for index = 1, #found, 2 do
        local head = head_of(found[index])
        over[#over + 1] = { found[index], head, tonumber(found[index + 1]), head and head[SEQ] or 0 }
    end
    table.sort(over, function(one, other)
        if one[3] ~= other[3] then
            return one[3] < other[3]
        end
        return one[4] < other[4]
    end)
    return over
end

local lost, lacking, ending = {}, 0, {}
for index, one in ipairs(longest_over()) do
    if index > limit then
        break
    end
    local id, head = one[1], one[2]
    local state, err
    if head then
        state, err = rescued_to(head)
        lacking = lacking + (state == 'discarded' and head[ON_DEAD] and 1 or 0)
    end
    lost[index] = { id, head, state, err }
    if state ~= 'available' then
        ending[#ending + 1] = id
    end
end
local expired = call('ZRANGEBYSCORE', EXPIRING, '-inf', now, 'LIMIT', 0, limit)

-- Ends that nobody told, because a worker of a version without graphs wrote them, or a job was damaged.
local untold = {}
for _, id in ipairs(#rules > 0 and call('SRANDMEMBER', AWAITED, ENDS_MOST) or {}) do
    local head = head_of(id)
    if head and FINAL[head[STATE]] or call('EXISTS', JOB .. id) == 0 then
        untold[#untold + 1] = id
    end
end

for _, member in ipairs(expired) do
    ending[#ending + 1] = string.sub(member, 17)
end
for _, id in ipairs(untold) do
    ending[#ending + 1] = id
end
lacking = lacking + family().most_told(family().awaited_of(ending))
if lacking > #ask[7] then
    return pack({ true, lacking })
end

for _, id in ipairs(untold) do
    ended[#ended + 1] = { id, false }
end
for _, member in ipairs(expired) do
    local id = string.sub(member, 17)
    local head = head_of(id)
    if head and WAITS[head[STATE]] then
        withdraw(id, head, now, ask[9])
    else
        drop(EXPIRING, member)  -- it is damaged, or an older worker has started it
    end
end
tell_all(now)
if kit then
    kit.write()
    kit, calm_kit = nil, nil  -- each gate is looked at when its turn comes
end
flush()

local opening = call('EXISTS', OPENING) == 1 and gates().due(now, limit) or 0
local opened = look_at_gates(now)
kit, calm_kit = nil, nil  -- what is rescued comes to them behind that

local due = call('ZRANGEBYSCORE', DUE, '-inf', now, 'LIMIT', 0, limit)
for _, member in ipairs(due) do
    local id = string.sub(member, 18)
    local head = head_of(id)
    if head then
        leave(id, head)
        head[RUN_AT] = tonumber(head[RUN_AT]) - lead_of(id)
        enter(id, head, 'available')
        save(id, head)
    else
        drop(DUE, member)
        set_aside(id, tonumber(string.sub(member, 1, 16)), 'scheduled', nil, nil, now)
    end
end

local rescued, discarded, cancelled = 0, {}, 0
for _, one in ipairs(lost) do
    local id, head, state, err = one[1], one[2], one[3], one[4]
    local flow = call('HGET', JOB .. id, 'g')
    if flow then
        gates().give_back({ { id, flow, not head or FINAL[state], nil, nil, true } }, now)
    end
    if head then
        record(id, head, now, 'rescue', err)
        leave(id, head)
        head[EPOCH], head[CRASHES] = head[EPOCH] + 1, head[CRASHES] + 1
        head[LEASE], head[CANCEL], head[FINISHED_AT] = false, false, FINAL[state] and now or false
        enter(id, head, state)
        if err then
            save(id, head, 'e', pack(err))
        else
            save(id, head)
        end
        if state == 'available' then
            rescued = rescued + 1
        elseif state == 'cancelled' then
            cancelled = cancelled + 1
        else
            discarded[#discarded + 1] = id
            family().tell_of_dead(id, head, now)
        end
    else
        drop(LEASES, id)
        set_aside(id, tonumber(call('ZSCORE', ALL, id) or 0), 'running', nil, nil, now)
    end
end
tell_all(now)
flush()

opened = opened + look_at_gates(now)
if #rules > 0 and call('EXISTS', GATES) == 1 then
    opened = opened + gates().recount(now)
end

-- Workers: only when one is silent, look whose jobs run.
local gone = {}
local silent = call('ZRANGEBYSCORE', ROOT .. 'seen', '-inf', now - ask[3])
if #silent > 0 then
    local busy = {}
    for _, id in ipairs(call('ZRANGE', LEASES, 0, -1)) do
        busy[call('HGET', JOB .. id, 'w') or ''] = true
    end
    for _, worker in ipairs(silent) do
        if #gone < limit and not busy[worker] then
            gone[#gone + 1] = worker
            drop(ROOT .. 'seen', worker)
            call('HDEL', ROOT .. 'workers', worker)
        end
    end
end

local pruned = 0

local function prune(key, member, skip)
    local id = string.sub(member, skip + 1)
    local head = head_of(id)
    if head then
        remove(id, head)
    else
        drop(key, member)
        drop(ALL, id)
        call('DEL', JOB .. id, ATTEMPTS .. id, LOGS .. id)
    end
    pruned = pruned + 1
end

for _, member in ipairs(call('ZRANGEBYSCORE', OWN, '-inf', now, 'LIMIT', 0, limit)) do
    prune(OWN, member, 32)
end

-- The first rule that matches a (queue, kind), or nil.
local function rule_for(queue, kind)
    for _, rule in ipairs(rules) do
        if rule[1] == kind and (not rule[2] or rule[2] == queue) then
            return rule
        end
    end
    return nil
end

if #rules > 0 then
    for _, group in ipairs(call('SMEMBERS', GROUPS)) do
        local length, rest = string.match(group, '^.(%d+):(.*)$')
        local queue, kind = string.sub(rest, 1, length), string.sub(rest, length + 2)
        local rule = pruned < limit and rule_for(queue, kind)
        if rule then
            local completed, key = string.sub(group, 1, 1) == 'c', ROOT .. 'ended:' .. group
            local keep, age = rule[completed and 3 or 5], rule[completed and 4 or 6]
            local size = call('ZCARD', key)
            local over = keep and math.max(0, size - keep) or 0
            if age then
                over = math.max(over, call('ZCOUNT', key, '-inf', now - age))
            end
            over = math.min(over, limit - pruned)
            if over > 0 then
                for _, member in ipairs(call('ZRANGE', key, 0, over - 1)) do
                    prune(key, member, 16)
                end
            end
            if over >= size then
                call('SREM', GROUPS, group)
            end
        end
    end
end

-- Keys: a row that holds no more goes when its job is gone; while it is there, a retry may bring it back.
if #rules > 0 then
    for _, key in ipairs(call('ZRANGEBYSCORE', HELD_DUE, '-inf', now, 'LIMIT', 0, KEYS_MOST)) do
        local text = call('HGET', HELD, key)
        local fine, row = pcall(cmsgpack.unpack, text or '')
        local known = text and fine and type(row) == 'table' and #row == 4
        if known and row[3] > now then
            add(HELD_DUE, row[3], key)
        elseif known and call('EXISTS', JOB .. row[1]) == 1 then
            add(HELD_DUE, now + HOUR, key)
        else
            call('HDEL', HELD, key)
            drop(HELD_DUE, key)
        end
    end
end
flush()

if #rules > 0 then
    local counted = call('HGETALL', COUNTS)
    for place = 1, #counted, 2 do
        if counted[place + 1] == '0' then
            call('HDEL', COUNTS, counted[place])
        end
    end
end
save_seq()
ring()

local next_due
for _, key in ipairs({ DUE, LEASES, OPENING, EXPIRING }) do
    local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')
    local moment = tonumber(first[2])
    if moment and (not next_due or moment < next_due) then
        next_due = moment
    end
end
local most = math.max(#expired, #due, #lost, #gone, pruned, opening)
return pack({ false, supply.used, #expired, #due, rescued, discarded, cancelled, gone, pruned, opened, now, most >= limit, next_due or false })
