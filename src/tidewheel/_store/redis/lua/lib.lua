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
-- One a line, so that a script gets those that it uses (scripts.py).
local JOB = ROOT .. 'job:'
local ATTEMPTS = ROOT .. 'attempts:'
local LOGS = ROOT .. 'logs:'
local ALL = ROOT .. 'all'
local DUE = ROOT .. 'due'
local LEASES = ROOT .. 'leases'
local OWN = ROOT .. 'own'
local DEAD = ROOT .. 'dead'
local HOLDERS = ROOT .. 'unique'
local COUNTS = ROOT .. 'counts'
local QUEUES = ROOT .. 'queues'
local GROUPS = ROOT .. 'groups'
local EXPIRING = ROOT .. 'expiring'
local BACKLOGS = ROOT .. 'backlogs'
local BACKLOG = ROOT .. 'backlog:'
local EDGES = ROOT .. 'edges:'
local OPEN = ROOT .. 'open:'
local PARENTS = ROOT .. 'parents:'
local GRAPHS = ROOT .. 'graphs'
local AWAITED = ROOT .. 'awaited'
local HELD = ROOT .. 'keys'
local HELD_DUE = ROOT .. 'keysdue'
local HOUR = 3600000000
local FINAL = { completed = true, cancelled = true, discarded = true }
local LOG_LINES = 1000
local STEP_BACK = 60000000  -- a clock that was set back by more is followed: better early than a day of standing still
local EXACT = 9007199254740992  -- a double counts exactly up to here

local ask = cmsgpack.unpack(ARGV[1])
local call, pack, format = redis.call, cmsgpack.pack, string.format

-- Code that is too old for the layout does nothing, also when it had opened the namespace before that became newer.
-- A namespace that has been emptied under us is begun anew, as ours.
local meta = call('HMGET', KEYS[1], 'schema', 'least', 'clock', 'uses', 'seq', 'history', 'floor')
if tonumber(meta[2] or 0) > LAYOUT then
    return redis.error_reply(format('LAYOUT %s %d', meta[1] or '?', LAYOUT))
elseif not meta[1] then
    call('HSET', KEYS[1], 'schema', LAYOUT, 'least', LEAST)
end

-- What a namespace has ever used that most do not (leads, marks, graphs): who uses none of it pays for none of it.
local uses = meta[4] or ''

local function used(what)
    return string.find(uses, what, 1, true) ~= nil
end

local function use(what)
    if not used(what) then
        uses = uses .. what .. ' '
        call('HSET', KEYS[1], 'uses', uses)
    end
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
-- shown later before a failover: the highest time seen is kept; by `save_seq` when that is `later` called anyway.
local unsaved_clock
local function clock(given, later)
    if given then
        return given
    end
    local time = call('TIME')
    local now = time[1] * 1000000 + time[2]
    local highest = tonumber(meta[3] or 0)
    if now < highest and highest - now <= STEP_BACK then
        return highest
    end
    if later then
        unsaved_clock = now
    else
        call('HSET', KEYS[1], 'clock', format('%d', now))
    end
    return now
end

-- The server's own name for the history of its data: who starts or takes over begins a new one.
local function history()
    local said = call('INFO', 'replication')
    local _, colon = string.find(said, 'master_replid:', 1, true)  -- a pattern would be tried at every letter
    return colon and string.match(said, '^%x+', colon + 1) or ''
end

-- What the next epoch must be greater than. A server that has begun a new history (a restart, a failover) may have
-- forgotten claims that workers remember; so epochs go on behind the present time in microseconds: nobody counts so fast.
-- Its last three digits are left to the count of claims and rescues, which goes on.
local function epoch_floor()
    local name, least = history(), tonumber(meta[7] or 0)
    if name ~= meta[6] then
        least = math.max(least + 1000, clock())
        least = least - least % 1000
        call('HSET', KEYS[1], 'history', name, 'floor', format('%d', least))
    end
    return least
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
        if by ~= 0 then
            call('HINCRBY', COUNTS, field, by)  -- sweep.lua removes those that have come to 0
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

-- The keys of a queue and kind: its lines; `pair`: how it is named in other keys. Made once a script.
local function places_of(queue, kind)
    local of_queue = places[queue]
    if not of_queue then
        of_queue = {}
        places[queue] = of_queue
    end
    local found = of_queue[kind]
    if not found then
        local pair = #queue .. ':' .. queue .. ':' .. kind
        found = { line = ROOT .. 'ready:' .. pair, suspects = ROOT .. 'suspect:' .. pair, pair = pair }
        of_queue[kind] = found
    end
    return found
end

-- A job as people see it: one msgpack array of id, head (an array), worker, args, tags, meta, options, progress, result,
-- error, flow, parked_by, expires_at, backlog, lead. Gives nil when there is no such job.
local function whole(id)
    local row = call('HMGET', JOB .. id, 's', 'h', 'w', 'a', 'x', 'p', 'r', 'e', 'g', 'b', 'u', 'q', 'l')
    if not row[1] or not row[2] then
        return nil
    end
    return '\159' .. pack(id) .. HEAD_OPENS .. row[1] .. row[2] .. pack(row[3] or nil, row[4] or '')
        .. (row[5] or THREE_NILS) .. pack(row[6] or nil, row[7] or nil) .. (row[8] or '\192')
        .. pack(row[9] or nil, row[10] or nil, row[11] or nil, row[12] or nil, row[13] or nil)
end
