-- Where a job stands by its state: how it leaves and enters, how it is made and removed, and its past. Stands between
-- lib.lua and what uses it.

-- The line an available job stands in; those on their last life have their own (`on_last_life` in _model/job.py).
-- The line is about to change: afterwards its kind is, or is not, among those that wait in its queue.
local function line_of(head)
    local queue, kind, crashes = head[QUEUE], head[KIND], head[CRASHES]
    local last_life = crashes > 0 and (crashes + 1 >= head[MAX_CRASHES] or head[ATTEMPT] + 1 >= head[MAX_ATTEMPTS])
    local place = places_of(queue, kind)
    local key = last_life and place.suspects or place.line
    if not lines[key] then
        lines[key] = { last_life and suspect_kinds_of(queue) or kinds_of(queue), kind }
    end
    return key
end

-- The sorted set that an ended job is in, its score there, its member.
local function ended_of(head, id)
    local completed = head[STATE] == 'completed'
    local keep = head[completed and KEEP_COMPLETED or KEEP_FAILED]
    if keep then
        return OWN, head[FINISHED_AT] + keep, format('%016d', head[FINISHED_AT]) .. numbered(head, id)
    end
    local place, group = places_of(head[QUEUE], head[KIND]), completed and 'completed' or 'failed'
    if not place[group] then
        place[group] = (completed and 'c' or 'f') .. place.pair
        place[place[group]] = ROOT .. 'ended:' .. place[group]
    end
    return place[place[group]], head[FINISHED_AT], numbered(head, id), place[group]
end

local function due_member(head, id)
    return format('%016d', head[SEQ]) .. string.sub(head[STATE], 1, 1) .. id
end

-- Take a job out of what its state put it in. The caller changes the head, then says `enter`.
local function leave(id, head)
    local state = head[STATE]
    count(state, head[QUEUE], -1)
    if state == 'running' then
        drop(LEASES, id)
    elseif state == 'available' then
        drop(line_of(head), turn(head) .. id)
    elseif FINAL[state] then
        local key, _, member = ended_of(head, id)
        drop(key, member)
        if state == 'discarded' then
            drop(DEAD, id)
        end
    elseif state ~= 'parked' then  -- where the parked ones are is known to gates.lua
        drop(DUE, due_member(head, id))
    end
end

local groups_seen = {}

local CHILDREN, EXPIRED = ':children', ':expired'  -- what a job is parked by that no gate stopped (_model/flow.py)
local NO_GATES = { [CHILDREN] = true, [EXPIRED] = true }
local WAITS = { scheduled = true, available = true, parked = true, retryable = true }
local some_are_marked

-- While it waits, a job stands in its backlog and among those that expire, if it has either.
local function mark(id, head, backlog, expires)
    if backlog then
        local key = BACKLOG .. backlog
        lines[key] = lines[key] or { BACKLOGS, backlog }
        add(key, head[SEQ], id)
    end
    if expires then
        add(EXPIRING, expires, numbered(head, id))
    end
    if backlog or expires then
        some_are_marked = true
        use('marks')
    end
end

-- It waits no more.
local function unmark(id, head)
    if some_are_marked == nil then
        some_are_marked = used('marks') and call('EXISTS', EXPIRING, BACKLOGS) > 0
    end
    if some_are_marked then
        local row = call('HMGET', JOB .. id, 'q', 'u')
        if row[1] then
            local key = BACKLOG .. row[1]
            lines[key] = lines[key] or { BACKLOGS, row[1] }
            drop(key, id)
        end
        if row[2] then
            drop(EXPIRING, numbered(head, id))
        end
    end
end

local ended, awaited = {}, nil

-- Whether any job is waited for by others.
local function some_are_awaited()
    if awaited == nil then
        awaited = used('graphs') and call('EXISTS', AWAITED) == 1
    end
    return awaited
end

-- A job ends for which others may wait: family.lua tells them.
local function note_end(id, gone)
    if some_are_awaited() and call('SISMEMBER', AWAITED, id) == 1 then
        ended[#ended + 1] = { id, gone }
    end
end

-- Put a job where `state` belongs, and hint it. `finished_at` must be set for a final state.
local function enter(id, head, state)
    local before = head[STATE]
    if WAITS[before] and not WAITS[state] then
        unmark(id, head)
    elseif WAITS[state] and before and not WAITS[before] then
        mark(id, head, unpack(call('HMGET', JOB .. id, 'q', 'u')))
    end
    head[STATE] = state
    count(state, head[QUEUE], 1)
    if state == 'running' then
        add(LEASES, head[LEASE], id)
    elseif state == 'available' then
        add(line_of(head), 0, turn(head) .. id)
        hints.work = true
    elseif FINAL[state] then
        local key, score, member, group = ended_of(head, id)
        add(key, score, member)
        if group and not groups_seen[group] then
            groups_seen[group] = true
            call('SADD', GROUPS, group)
        end
        if state == 'discarded' then
            add(DEAD, head[SEQ], id)
        end
        if head[UNIQUE] and call('HGET', HOLDERS, head[UNIQUE]) == id then
            call('HDEL', HOLDERS, head[UNIQUE])
        end
        hints.settled = true
        note_end(id)
    elseif state ~= 'parked' then
        add(DUE, tonumber(head[RUN_AT]), due_member(head, id))
        hints.due = true
    end
end

-- Discard a job whose head cannot be read, found in a sorted set under `seq`; `state` is what that set is for.
-- Where there is nothing left of the job, its places are given up. A queue that is not known is shown as "?".
local function set_aside(id, seq, state, queue, kind, now)
    if queue then
        count(state, queue, -1)
    end
    queue, kind = queue or '?', kind or '?'
    if call('EXISTS', JOB .. id) == 0 then
        drop(ALL, id)
        return
    end
    local head = { seq, queue, kind, 100, false, 1, 1, now, false, false, false, false, state, 0, 0, 0, now, false, false, now, false }
    enter(id, head, 'discarded')
    save(id, head, 's', pack(unpack(head, 1, ON_DEAD)), 'e', pack({ 'tidewheel.Unreadable', 'The row cannot be read: it was changed or damaged.', '' }))
end

-- Jobs that are made

local last_seq

-- Insert a job. row: id, kind, queue, args, priority, delay, run_at, lifo, max_attempts, max_crashes, unique_key,
-- tags, meta, options, keep_completed, keep_failed, on_dead, flow, expires_in, backlog, lead; state: when another than its time says;
-- place: in the line, when another
local function insert(row, now, state, place)
    last_seq = (last_seq or tonumber(meta[5] or 0)) + 1
    local id, unique = row[1], row[11]
    local run_at = row[7] or now + row[6]
    state = state or (tonumber(run_at) > now and 'scheduled' or 'available')
    if state == 'available' then
        run_at = place or tonumber(run_at) - (row[21] or 0)
    end
    local head = {
        last_seq, row[3], row[2], row[5], row[8], row[9], row[10], now, unique or false, row[15] or false, row[16] or false,
        row[17] or false, false, 0, 0, 0, run_at, false, false, false, false,
    }
    head[FINISHED_AT] = FINAL[state] and now or false
    enter(id, head, state)
    add(ALL, last_seq, id)
    if unique and not FINAL[state] then
        call('HSET', HOLDERS, unique, id)
    end
    if row[12] or row[13] or row[14] then
        save(id, head, 's', pack(unpack(head, 1, ON_DEAD)), 'a', row[4], 'x', pack(row[12], row[13], row[14]))
    else
        save(id, head, 's', pack(unpack(head, 1, ON_DEAD)), 'a', row[4])
    end
    if row[18] then  -- a job that expires has a flow
        call('HSET', JOB .. id, 'g', row[18])
        local expires = row[19] and format('%d', now + row[19])
        if expires then
            call('HSET', JOB .. id, 'u', expires)
            mark(id, head, nil, not FINAL[state] and expires)
            hints.due = true
        end
    end
    if row[20] then
        call('HSET', JOB .. id, 'q', row[20])
        mark(id, head, not FINAL[state] and row[20])
    end
    if row[21] then
        call('HSET', JOB .. id, 'l', format('%d', row[21]))
        use('leads')
    end
    return head
end

-- How far a job comes before those that are due when it is.
local function lead_of(id)
    return used('leads') and tonumber(call('HGET', JOB .. id, 'l') or 0) or 0
end

-- The job that has the id of a new one, or its unique key; or nil.
local function clash(row)
    if call('EXISTS', JOB .. row[1]) == 1 then
        return row[1]
    end
    local holder = row[11] and call('HGET', HOLDERS, row[11])
    local head = holder and head_of(holder)
    if head and head[UNIQUE] == row[11] then
        return holder
    end
    return nil  -- a key of a job whose row was damaged must not be held for ever
end

local function save_seq()
    if last_seq and unsaved_clock then
        call('HSET', KEYS[1], 'seq', format('%d', last_seq), 'clock', format('%d', unsaved_clock))
    elseif last_seq then
        call('HSET', KEYS[1], 'seq', format('%d', last_seq))
    end
end

-- Insert the job that tells of a dead letter, whose head is given. row: the other columns as `insert` has them
local function insert_told(head, new_id, args, row, now)
    if call('EXISTS', JOB .. new_id) == 0 then
        local told = { unpack(row, 1, 10) }
        told[1], told[2], told[3], told[4] = new_id, head[ON_DEAD], head[QUEUE], args
        insert(told, now)
    end
end

-- The past of a job

local function add_logs(id, said)
    if said and #said > 0 then
        for first = math.max(1, #said - LOG_LINES + 1), #said do
            call('RPUSH', LOGS .. id, pack(said[first]))
        end
        call('LTRIM', LOGS .. id, -LOG_LINES, -1)
    end
end

-- Keep the record of the attempt that ends now; `why` is an error (type, message, stack) or nil.
local function record(id, head, now, word, why)
    local worker = call('HGET', JOB .. id, 'w') or nil
    local values = pack(head[EPOCH], head[ATTEMPT], worker, head[STARTED_AT] or now, now, word, why)
    call('RPUSH', ATTEMPTS .. id, '\151' .. values)
end

local some_have_children

-- A job goes, and with it what is known of its children.
local function forget_children(id)
    if some_have_children == nil then
        some_have_children = used('graphs') and call('EXISTS', GRAPHS) == 1
    end
    if some_have_children and call('SREM', GRAPHS, id) == 1 then
        for _, child in ipairs(call('HKEYS', EDGES .. id)) do
            call('SREM', PARENTS .. child, id)
            if call('EXISTS', PARENTS .. child) == 0 then
                call('SREM', AWAITED, child)
            end
        end
        call('DEL', EDGES .. id, OPEN .. id)
    end
end

-- Remove a job and its past.
local function remove(id, head)
    leave(id, head)
    if not FINAL[head[STATE]] then
        unmark(id, head)
        note_end(id, true)
    end
    forget_children(id)
    drop(ALL, id)
    call('DEL', JOB .. id, ATTEMPTS .. id, LOGS .. id)
    if head[UNIQUE] and call('HGET', HOLDERS, head[UNIQUE]) == id then
        call('HDEL', HOLDERS, head[UNIQUE])
    end
end
