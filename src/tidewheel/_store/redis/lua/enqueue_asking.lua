#!lua
-- uses: states, undo, family, gate, rules, turns, calm, gates, withdraw, desk
-- Add jobs some of which ask first, for a key by a rule or a place in a backlog, or wait for others. Refused as a whole while
-- memory is full.
-- ask: now or nil, jobs (a batch as `rows_of` in lib.lua has it, with the columns of `insert`, and: rule (as in desk.lua) or nil,
--      how many of its backlog may wait, drop the oldest?, jobs it waits for (each: id, on_failure) or nil, or false when it
--      cannot, whose turn it is: key and step, or nil), errors of a job that is replaced and of one that is dropped, ids for jobs that tell of dead letters (of parents
--      of jobs that are cancelled), columns of such a job
-- gives: ["done", for each job a list of id, inserted?, state of the job that exists or nil, what else was done, the job
--        cancelled or nil, remaining or nil, reset_at or nil; how many of the ids were used], or, when nothing was done:
--        ["ids", how many are needed], ["child", number of the job (from 0), child that does not exist], ["after", number of
--        the job that cannot wait for what it names]
local now, REPLACED, DROPPED = clock(ask[1]), ask[3], ask[4]
supply.ids, supply.columns = ask[5], ask[6]
local RULE, MOST, DROP_OLDEST, AFTER, FAIR = 22, 23, 24, 25, 26
local desk = new_desk()
local nothing = cjson.null
local waiting = {}  -- backlog: how many wait, as far as this script has counted them
local fronts = {}  -- queue: {priority: the place of the first job in line that is not lifo}, as far as this script knows
local became = {}  -- id of a job of this call: the id it was answered with

-- A key's row, or nil; nil, too, when it cannot be read.
local function key_row(key)
    local text = call('HGET', HELD, key)
    local fine, row = pcall(cmsgpack.unpack, text or '')
    return text and fine and type(row) == 'table' and #row == 4 and row or nil
end

local function write_key(key, row)
    call('HSET', HELD, key, pack(row))
    add(HELD_DUE, math.max(row[3], now + HOUR), key)
end

-- The job of a key's row, as far as a rule asks for it, or nil.
local function holder_of(id)
    local row = call('HMGET', JOB .. id, 's', 'h', 'g', 'b', 'u')
    local head = row[1] and row[2] and read_head(row[1], row[2])
    return head and {
        id = id, head = head, state = head[STATE], flow = row[3] or nil, parked_by = row[4] or nil,
        expires_at = tonumber(row[5] or nil),
    } or nil
end

-- Move a job that waits to another state or place in line. (Writes are collected: the caller has flushed those before.)
local function move(job, state, run_at, priority)
    fronts = {}
    local head, before = job.head, turn(job.head)
    local was = head[STATE]
    if was == 'parked' then
        gates().move_parked(job.id, head, job.parked_by, state, priority)
        return
    end
    local after = { unpack(head, 1, LEASE) }
    after[RUN_AT], after[PRIORITY] = run_at, priority
    if state ~= was or (state == 'available' and turn(after) ~= before) then
        leave(job.id, head)
        head[RUN_AT], head[PRIORITY] = run_at, priority
        enter(job.id, head, state)
    else
        if state ~= 'available' and run_at ~= head[RUN_AT] then
            add(DUE, tonumber(run_at), due_member(head, job.id))
            hints.due = true
        end
        head[RUN_AT], head[PRIORITY] = run_at, priority
    end
end

-- Write what a replace makes of a job.
local function change(job, row, to)
    flush()
    local id, head, fields = job.id, job.head, {}
    local run_at = to.run_at or head[RUN_AT]
    if to.run_at and to.state == 'available' then
        run_at = tonumber(run_at) - lead_of(id)
    end
    move(job, to.state, run_at, to.priority or head[PRIORITY])
    if to.priority then
        fields = { 's', pack(unpack(head, 1, ON_DEAD)) }
    end
    if to.meta or to.tags then
        local tags, meta, options = cmsgpack.unpack(call('HGET', JOB .. id, 'x') or THREE_NILS)
        local kept = to.tags or tags
        fields[#fields + 1] = 'x'
        fields[#fields + 1] = pack(kept ~= '[]' and kept or nil, to.meta or meta, options)
    end
    save(id, head, unpack(fields))
    if to.args then
        call('HSET', JOB .. id, 'a', to.args)
        gates().step_down(id, now, to.flow or '')
        if to.flow then
            call('HSET', JOB .. id, 'g', to.flow)
        end
        if row[19] then
            local expires = format('%d', now + row[19])
            call('HSET', JOB .. id, 'u', expires)
            mark(id, head, nil, expires)
            hints.due = true
        elseif job.expires_at then
            drop(EXPIRING, numbered(head, id))
            call('HDEL', JOB .. id, 'u')
        end
    end
end

-- Those of a backlog, the first enqueued first, that would have to go for one more to come in; one of them will do where
-- that is refused. Who stands there and waits no more (an older worker did not know) is forgotten.
local function too_many(name, most, all, leaves)
    local key = BACKLOG .. name
    if leaves or not waiting[name] then
        flush()
        waiting[name] = call('ZCARD', key)
    end
    local over = waiting[name] + 1 - most - (leaves and call('ZSCORE', key, leaves.id) and 1 or 0)
    local found, from = {}, 0
    if over > 0 then
        flush()
    end
    while #found < over do
        local ids, gone = call('ZRANGE', key, from, from + 99), {}
        for _, id in ipairs(ids) do
            local head = head_of(id)
            if not head or not WAITS[head[STATE]] then
                gone[#gone + 1] = id
                over = over - 1
            elseif #found < over and not (leaves and id == leaves.id) then
                found[#found + 1] = { id, head }
                over = all and over or 0
            end
            if #found >= over then
                break
            end
        end
        if #ids == 0 then
            break
        end
        from = from + #ids - #gone
        in_parts('ZREM', key, gone)
        if #gone > 0 then
            waiting[name] = nil
        end
    end
    return found
end

-- The place of the first job of a line that is not lifo, or nil.
local function front_of(queue, priority)
    fronts[queue] = fronts[queue] or {}
    local front = fronts[queue][priority]
    if front == nil then
        flush()
        front = false
        for line, kinds in pairs({ line = kinds_of(queue), suspects = suspect_kinds_of(queue) }) do
            for _, kind in ipairs(call('SMEMBERS', kinds)) do
                local from, behind = format('[%04d1', priority), format('(%04d2', priority)
                local first = call('ZRANGEBYLEX', places_of(queue, kind)[line], from, behind, 'LIMIT', 0, 1)[1]
                local head = first and head_of(string.sub(first, 41))
                front = head and math.min(tonumber(head[RUN_AT]), front or math.huge) or front
            end
        end
        fronts[queue][priority] = front
    end
    return front or nil
end

-- A job was inserted: it may be the first of its line.
local function came_in(head)
    local known = fronts[head[QUEUE]]
    if head[STATE] == 'discarded' then
        fronts = {}
    elseif head[STATE] == 'available' and not head[LIFO] and known and known[head[PRIORITY]] ~= nil then
        known[head[PRIORITY]] = math.min(tonumber(head[RUN_AT]), known[head[PRIORITY]] or math.huge)
    end
end

-- The place of a new job in its line, when it is not its time that says so.
local function place_of(row, state)
    local fair = not row[8] and row[FAIR]
    if not fair or (state or tonumber(row[7] or now + row[6]) > now) then
        return nil
    end
    local place, turn = desk.turn_of(row, fair, key_row(fair[1]), front_of(row[3], row[5]), now)
    write_key(fair[1], turn)
    return place
end

-- End a job that waits, or ask one that runs to stop.
local function stop(job, err)
    if job.head[STATE] == 'running' then
        job.head[CANCEL] = true
        save(job.id, job.head)
        hints.control = true
    else
        waiting, fronts = {}, {}
        withdraw(job.id, job.head, now, err)
    end
end

-- What was refused has changed nothing, but for the job that a replace concerns.
local function refused(row, held, holder, verdict)
    local did = verdict.dropped and 'dropped' or ''
    if verdict.change then
        change(holder, row, verdict.change)
        did = 'replaced'
    end
    return {
        held[1], false, holder and holder.head[STATE] or nothing, did, nothing, verdict.remaining or nothing,
        verdict.reset_at or nothing,
    }
end

-- What a job waits for: its edges by child, in a list for HSET; which of them are open; its state when another than its time
-- says, and why it is given up.
local function bound(row, number)
    if row[AFTER] == false then
        error({ 'after', number, 0 })
    end
    local edges, open, over, seen = {}, {}, {}, {}
    for place, one in ipairs(row[AFTER]) do
        local child, on_failure = became[one[1]] or one[1], one[2]
        if call('EXISTS', JOB .. child) == 0 then
            error({ 'child', number, child })
        end
        local head = not seen[child] and head_of(child)
        local forgotten = seen[child]
        seen[child] = true
        if head and FINAL[head[STATE]] then
            local state, result, raw, err = family().end_of(child)
            forgotten = on_failure == 'remove' and state ~= 'completed'
            if not forgotten then
                over[#over + 1] = { child = child, place = place, on_failure = on_failure, state = state, err = err }
                edges[#edges + 1], edges[#edges + 2] = child, pack(place - 1, on_failure, state, result) .. raw
            end
        elseif not forgotten then
            open[#open + 1] = child
            edges[#edges + 1], edges[#edges + 2] = child, pack(place - 1, on_failure) .. THREE_NILS
        end
    end
    local err = family().gives_up(over)
    local state = err and 'discarded' or #open > 0 and not family().goes_on(over) and 'parked' or nil
    return { edges = edges, open = open, state = state, err = err }
end

local function bind(id, head, to)
    for place = 1, #to.edges, 2 do
        call('SADD', PARENTS .. to.edges[place], id)
    end
    if #to.edges > 0 then
        in_parts('HSET', EDGES .. id, to.edges)
        call('SADD', GRAPHS, id)
        use('graphs')
    end
    if #to.open > 0 then
        in_parts('SADD', OPEN .. id, to.open)
        in_parts('SADD', AWAITED, to.open)
        awaited = true
    end
    if to.err then
        call('HSET', JOB .. id, 'e', pack(to.err))
        family().tell_of_dead(id, head, now)
    elseif to.state == 'parked' then
        call('HSET', JOB .. id, 'b', CHILDREN)
    end
end

local function enqueue(row, number)
    local there = clash(row)
    if there then
        local head = head_of(there)
        return { there, false, head and head[STATE] or 'discarded', '', nothing, nothing, nothing }
    end
    local id, rule, verdict, leaves = row[1], row[RULE], {}, nil
    if rule then
        local held = key_row(rule[1])
        local holder = held and holder_of(held[1])
        verdict = desk.judge(rule, row, held, holder, now)
        if not verdict.insert then
            return refused(row, held, holder, verdict)
        end
        leaves = verdict.cancel and holder or nil
    end
    local gone = row[20] and too_many(row[20], row[MOST], row[DROP_OLDEST], leaves) or {}
    if #gone > 0 and not row[DROP_OLDEST] then
        return { id, false, nothing, 'full', nothing, nothing, nothing }
    end
    local cancelled = leaves and leaves.id or gone[1] and gone[1][1]
    if leaves then
        flush()
        stop(leaves, filled(REPLACED, { ['{id}'] = id }))
    end
    for _, one in ipairs(gone) do
        local words = { ['{id}'] = id, ['{most}'] = format('%d', row[MOST]), ['{key}'] = row[20] }
        stop({ id = one[1], head = one[2] }, filled(DROPPED, words))
    end
    local bonds = row[AFTER] ~= nil and bound(row, number)
    local head = insert(row, now, bonds and bonds.state, place_of(row, bonds and bonds.state))
    if bonds then
        bind(id, head, bonds)
    end
    came_in(head)
    if waiting[row[20]] and not FINAL[head[STATE]] then
        waiting[row[20]] = waiting[row[20]] + 1
    end
    if verdict.row then
        write_key(rule[1], verdict.row)
    end
    return { id, true, nothing, '', cancelled or nothing, verdict.remaining or nothing, verdict.reset_at or nothing }
end

local graph = ask[2][2][AFTER] ~= nil or ask[2][3][AFTER] ~= nil
local undo = (graph or some_are_awaited()) and begin_noting()

local answers = {}
local fine, why = pcall(function()
    for index, row in rows_of(ask[2]) do
        answers[index] = enqueue(row, index - 1)
        became[row[1]] = answers[index][1]
    end
    tell_all(now)
    if supply.used > #ask[5] then
        error({ 'ids', supply.used, 0 })
    end
end)
if not fine and type(why) == 'table' then
    undo()
    return pack(why)
elseif not fine then
    error(why)
end
flush()
if kit then
    kit.write()
    flush()
end
save_seq()
ring()
return pack({ 'done', answers, supply.used })
