-- What the scripts share. It stands before each of them, behind its first line and one that says for which layout
-- they are: LAYOUT, LEAST (SCHEMA and LEAST in keys.py).
--
-- KEYS[1]  the namespace's meta key; every other key begins as it does ("{namespace}:"), so one script is one atom
-- ARGV[1]  the question, a msgpack array; each script says what is in it
--
-- keys.py describes every key. What scripts look at of a job is its head, a table with the places below. It is stored as
-- two texts of msgpack values, one behind the other: what never changes, and what does. (As arrays they would take three
-- times as long to read: Lua grows a table step by step. And texts of up to 64 bytes keep the job's hash compact.)
-- `false` stands for "none".

local SEQ, QUEUE, KIND, PRIORITY, LIFO, MAX_ATTEMPTS, MAX_CRASHES, ENQUEUED_AT = 1, 2, 3, 4, 5, 6, 7, 8
local UNIQUE, KEEP_COMPLETED, KEEP_FAILED, ON_DEAD = 9, 10, 11, 12
local STATE, EPOCH, ATTEMPT, CRASHES, RUN_AT, CANCEL, STARTED_AT, FINISHED_AT, LEASE = 13, 14, 15, 16, 17, 18, 19, 20, 21
local HEAD_OPENS, THREE_NILS = '\220\0\21', '\192\192\192'  -- msgpack: an array of 21 values begins; nil, nil, nil

local ROOT = string.sub(KEYS[1], 1, -5)
local JOB, ATTEMPTS, LOGS = ROOT .. 'job:', ROOT .. 'attempts:', ROOT .. 'logs:'
local ALL, DUE, LEASES, OWN, DEAD = ROOT .. 'all', ROOT .. 'due', ROOT .. 'leases', ROOT .. 'own', ROOT .. 'dead'
local HOLDERS, COUNTS, QUEUES, GROUPS = ROOT .. 'unique', ROOT .. 'counts', ROOT .. 'queues', ROOT .. 'groups'
local FINAL = { completed = true, cancelled = true, discarded = true }
local LOG_LINES = 1000
local STEP_BACK = 60000000  -- a clock that was set back by more is followed: better early than a day of standing still
local EXACT = 9007199254740992  -- a double counts exactly up to here

local ask = cmsgpack.unpack(ARGV[1])
local call, pack, format = redis.call, cmsgpack.pack, string.format

-- Code that is too old for the layout does nothing, also when it had opened the namespace before that became newer.
-- A namespace that has been emptied under us is begun anew, as ours.
local meta = call('HMGET', KEYS[1], 'schema', 'least', 'clock')
if tonumber(meta[2] or 0) > LAYOUT then
    return redis.error_reply(format('LAYOUT %s %d', meta[1] or '?', LAYOUT))
elseif not meta[1] then
    call('HSET', KEYS[1], 'schema', LAYOUT, 'least', LEAST)
end

-- The rows of a batch, one after the other, in one table that is filled again and again: new tables and strings are
-- what costs most in Lua. What all rows share is sent once.
-- batch: number of rows, {column: value that all share}, {column: its values}
local function rows_of(batch)
    local size, row, own = batch[1], batch[2], batch[3]
    local index = 0
    return function()
        if index == size then
            return nil
        end
        index = index + 1
        for column, values in pairs(own) do
            row[column] = values[index]
        end
        return index, row
    end
end

-- The moment of this script: the one given (a test's), or the server's clock, which another server may have
-- shown later before a failover: the highest time seen is kept.
local function clock(given)
    if given then
        return given
    end
    local time = call('TIME')
    local now = time[1] * 1000000 + time[2]
    local mark = tonumber(meta[3] or 0)
    if now < mark and mark - now <= STEP_BACK then
        return mark
    end
    call('HSET', KEYS[1], 'clock', format('%d', now))
    return now
end

-- The server's own name for the history of its data: who starts or takes over begins a new one.
local function history()
    return string.match(call('INFO', 'replication'), 'master_replid:(%x+)') or ''
end

-- Writes to sorted sets, sets and counts are collected, so that each key is written once a script.

local adds, drops, lines, counts, hints = {}, {}, {}, {}, {}

local function add(key, score, member)
    local batch = adds[key]
    if not batch then
        batch = {}
        adds[key] = batch
    end
    batch[#batch + 1] = score
    batch[#batch + 1] = member
end

local function drop(key, member)
    local batch = drops[key]
    if not batch then
        batch = {}
        drops[key] = batch
    end
    batch[#batch + 1] = member
end

local function count(state, queue, by)
    local field = state .. ':' .. queue
    counts[field] = (counts[field] or 0) + by
end

local function in_parts(command, key, batch)
    for first = 1, #batch, 2000 do
        call(command, key, unpack(batch, first, math.min(first + 1999, #batch)))
    end
end

-- Write what was collected.
local function flush()
    for key, batch in pairs(adds) do
        in_parts('ZADD', key, batch)
    end
    for key, batch in pairs(drops) do
        in_parts('ZREM', key, batch)
    end
    for key, line in pairs(lines) do
        if adds[key] then
            call('SADD', line[1], line[2])
        end
        if drops[key] and call('EXISTS', key) == 0 then
            call('SREM', line[1], line[2])
        end
    end
    for field, by in pairs(counts) do
        if by ~= 0 and call('HINCRBY', COUNTS, field, by) == 0 then
            call('HDEL', COUNTS, field)
        end
    end
    adds, drops, lines, counts = {}, {}, {}, {}
end

-- Tell who listens; one message a kind.
local function ring()
    for kind in pairs(hints) do
        call('PUBLISH', ROOT .. 'hint:' .. kind, '')
    end
end

-- Heads

local function whole_head(fine, ...)
    return fine and select('#', ...) >= LEASE and { ... } or nil
end

-- A head as a table, or nil when it cannot be read.
local function read_head(fixed, varying)
    return whole_head(pcall(cmsgpack.unpack, fixed .. varying))
end

-- The head of a job, or nil when there is none or it cannot be read.
local function head_of(id)
    local row = call('HMGET', JOB .. id, 's', 'h')
    return row[1] and row[2] and read_head(row[1], row[2])
end

local function packed_head(head)
    return pack(unpack(head, STATE, LEASE))
end

-- Write what changes of a head, and more fields.
local function save(id, head, ...)
    call('HSET', JOB .. id, 'h', packed_head(head), ...)
end

-- Whole numbers are written by %d: a Lua number as text has 14 digits, and %.0f takes thrice as long.
local function numbered(head, id)
    return format('%016d', head[SEQ]) .. id
end

-- A number as text that sorts as the number does.
local function sortable(number)
    if number < 0 then
        return format('0%018d', math.max(0, EXACT + number))
    end
    return format('1%018d', number)
end

-- A job's place in line as text: priority, lifo first, time, order of the enqueue. 40 characters.
local function turn(head)
    local run_at = tonumber(head[RUN_AT])
    if head[LIFO] then
        return format('%04d0%s%016d', head[PRIORITY], sortable(-run_at), EXACT - head[SEQ])
    end
    return format('%04d1%s%016d', head[PRIORITY], sortable(run_at), head[SEQ])
end

local function kinds_of(queue)
    return ROOT .. 'kinds:' .. queue
end

local places = {}

-- The set of the kinds that have jobs on their last life waiting in a queue.
local function suspect_kinds_of(queue)
    return ROOT .. 'suspects:' .. queue
end

-- The keys of a queue and kind: its lines, and where its ended jobs are. Made once a script.
local function places_of(queue, kind)
    local of_queue = places[queue]
    if not of_queue then
        of_queue = {}
        places[queue] = of_queue
    end
    local found = of_queue[kind]
    if not found then
        local pair = #queue .. ':' .. queue .. ':' .. kind
        found = {
            line = ROOT .. 'ready:' .. pair, suspects = ROOT .. 'suspect:' .. pair, completed = ROOT .. 'ended:c' .. pair, failed = ROOT .. 'ended:f' .. pair,
            completed_group = 'c' .. pair, failed_group = 'f' .. pair,
        }
        of_queue[kind] = found
    end
    return found
end

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
    local place = places_of(head[QUEUE], head[KIND])
    if completed then
        return place.completed, head[FINISHED_AT], numbered(head, id), place.completed_group
    end
    return place.failed, head[FINISHED_AT], numbered(head, id), place.failed_group
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

-- Put a job where `state` belongs, and hint it. `finished_at` must be set for a final state.
local function enter(id, head, state)
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
    else
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
-- tags, meta, options, keep_completed, keep_failed, on_dead, flow
local function insert(row, now)
    last_seq = (last_seq or tonumber(call('HGET', KEYS[1], 'seq') or 0)) + 1
    local id, unique = row[1], row[11]
    local run_at = row[7] or now + row[6]
    local head = {
        last_seq, row[3], row[2], row[5], row[8], row[9], row[10], now, unique or false, row[15] or false, row[16] or false,
        row[17] or false, false, 0, 0, 0, run_at, false, false, false, false,
    }
    enter(id, head, tonumber(run_at) > now and 'scheduled' or 'available')
    add(ALL, last_seq, id)
    if unique then
        call('HSET', HOLDERS, unique, id)
    end
    if row[12] or row[13] or row[14] then
        save(id, head, 's', pack(unpack(head, 1, ON_DEAD)), 'a', row[4], 'x', pack(row[12], row[13], row[14]))
    else
        save(id, head, 's', pack(unpack(head, 1, ON_DEAD)), 'a', row[4])
    end
    if row[18] then
        call('HSET', JOB .. id, 'g', row[18])
    end
end

local function save_seq()
    if last_seq then
        call('HSET', KEYS[1], 'seq', format('%d', last_seq))
    end
end

-- Insert the job that tells of a dead letter. dead: new id, arguments, the other columns as `insert` has them
local function insert_told(head, dead_id, new_id, args, row, now)
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

-- Remove a job and its past.
local function remove(id, head)
    leave(id, head)
    drop(ALL, id)
    call('DEL', JOB .. id, ATTEMPTS .. id, LOGS .. id)
    if head[UNIQUE] and call('HGET', HOLDERS, head[UNIQUE]) == id then
        call('HDEL', HOLDERS, head[UNIQUE])
    end
end

-- A job as people see it: one msgpack array of id, head (an array), worker, args, tags, meta, options, progress, result,
-- error, flow, parked_by. Gives nil when there is no such job.
local function whole(id)
    local row = call('HMGET', JOB .. id, 's', 'h', 'w', 'a', 'x', 'p', 'r', 'e', 'g', 'b')
    if not row[1] or not row[2] then
        return nil
    end
    return '\156' .. pack(id) .. HEAD_OPENS .. row[1] .. row[2] .. pack(row[3] or nil, row[4] or '')
        .. (row[5] or THREE_NILS) .. pack(row[6] or nil, row[7] or nil) .. (row[8] or '\192')
        .. pack(row[9] or nil, row[10] or nil)
end
