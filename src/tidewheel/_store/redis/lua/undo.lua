-- Takes back what a script has written. Redis undoes nothing by itself, and what makes a job impossible may turn out only
-- when others of its call are in. Stands behind lib.lua.

local written = {}

local ASKS = { HSET = 'HGET', HDEL = 'HGET', HINCRBY = 'HGET', ZADD = 'ZSCORE', ZREM = 'ZSCORE', SADD = 'SISMEMBER', SREM = 'SISMEMBER' }
local STEP = { HSET = 2, ZADD = 2, HINCRBY = 2 }  -- arguments a field, or a member, comes with

-- Note how to bring a field or a member back.
local function note(sort, key, name)
    local before = call(sort, key, name)
    if sort == 'HGET' then
        written[#written + 1] = before and { 'HSET', key, name, before } or { 'HDEL', key, name }
    elseif sort == 'ZSCORE' then
        written[#written + 1] = before and { 'ZADD', key, before, name } or { 'ZREM', key, name }
    else
        written[#written + 1] = { before == 1 and 'SADD' or 'SREM', key, name }
    end
end

-- From now on everything that is written is noted before. A key that was not there is noted once.
local function begin_noting()
    local real, fresh = call, {}
    local function noting(command, key, ...)
        local sort = ASKS[command]
        if sort and not fresh[key] then
            call = real
            if real('EXISTS', key) == 0 then
                fresh[key] = true
                written[#written + 1] = { 'DEL', key }
            else
                local step = STEP[command] or 1
                for place = 1, select('#', ...), step do
                    note(sort, key, (select(command == 'ZADD' and place + 1 or place, ...)))
                end
            end
            call = noting
        end
        return real(command, key, ...)
    end
    call = noting
    return function()
        call = real
        for place = #written, 1, -1 do
            call(unpack(written[place]))
        end
    end
end
