-- Graphs: who waits for whom, and who hears of an end. Stands behind states.lua, which notes what has ended; the twin of
-- _model/graph.py is in `hear` and `ended_edge`.
--
-- An edge is msgpack values one behind the other: place, on_failure, state, result, error (type, message, stack); the last
-- three are nil while the child has not ended.

-- Ids for jobs that tell of dead letters (`ids`), how many of them were used, and the columns of such a job. When there are too
-- few, who called must give more.
local supply = { used = 0 }

-- See `new_arithmetic` in gate.lua: made when it is needed.
local function new_family()
    -- Insert the job that tells of a dead letter; args: its arguments, when they are known.
    local function tell_of_dead(id, head, now, args)
        if head[ON_DEAD] then
            supply.used = supply.used + 1
            local new_id = supply.ids[supply.used] or 'lacking:' .. supply.used
            args = args or '{"job_id":' .. string.gsub(cjson.encode(id), '\\/', '/') .. '}'
            insert_told(head, new_id, args, supply.columns, now)
        end
    end

    -- How many jobs may tell of dead letters, at most, when those of `ids` (a list that is used up) end badly: of their parents.
    local function most_told(ids)
        local seen, most, place = {}, 0, 1
        while ids[place] do
            for _, parent in ipairs(call('SMEMBERS', PARENTS .. ids[place])) do
                local head = not seen[parent] and head_of(parent)
                seen[parent] = true
                if head and head[STATE] == 'parked' then
                    ids[#ids + 1] = parent
                    most = most + (head[ON_DEAD] and 1 or 0)
                end
            end
            place = place + 1
        end
        return most
    end

    -- What is known of a job that has ended: state, result, error as the edge has it, error as a list or nil.
    local function end_of(id, gone)
        local head = not gone and head_of(id)
        if not head or not FINAL[head[STATE]] then
            return 'cancelled', nil, '\192', nil  -- deleted, or there is nothing left of it
        elseif head[STATE] == 'completed' then
            return 'completed', call('HGET', JOB .. id, 'r') or nil, '\192', nil
        end
        local text = call('HGET', JOB .. id, 'e')
        local fine, err = pcall(cmsgpack.unpack, text or '')
        local known = text and fine and type(err) == 'table'
        return head[STATE], call('HGET', JOB .. id, 'r') or nil, known and text or '\192', known and err or nil
    end

    -- Write the end of a child into an edge. Gives the edge as `hear` looks at it, or nil where it is forgotten.
    local function write_end(parent, child, state, result, raw, err)
        local text = call('HGET', EDGES .. parent, child)
        local fine, place, on_failure = pcall(cmsgpack.unpack, text or '')
        call('SREM', OPEN .. parent, child)
        if not text or not fine or (on_failure == 'remove' and state ~= 'completed') then
            call('HDEL', EDGES .. parent, child)
            call('SREM', PARENTS .. child, parent)
            return nil
        end
        call('HSET', EDGES .. parent, child, pack(place, on_failure, state, result) .. raw)
        return { child = child, place = place, on_failure = on_failure, state = state, err = err }
    end

    -- Why a parent is given up when these edges have just ended, or nil.
    local function gives_up(edges)
        local first
        for _, edge in ipairs(edges) do
            if edge.on_failure == 'fail' and edge.state ~= 'completed' and not (first and first.place < edge.place) then
                first = edge
            end
        end
        if not first then
            return nil
        end
        if first.err and first.err[1] == 'tidewheel.ChildFailed' then
            return first.err
        end
        local said = first.err and format(': %s: %s', first.err[1], first.err[2]) or ''
        return { 'tidewheel.ChildFailed', 'It waited for ' .. first.child .. ', which was ' .. first.state .. said, '' }
    end

    -- Whether a parent starts without waiting for the others, now that these edges have ended.
    local function goes_on(edges)
        for _, edge in ipairs(edges) do
            if edge.on_failure == 'continue' and edge.state ~= 'completed' then
                return true
            end
        end
        return false
    end

    -- What the ends of some of its children make of a parent.
    local function hear(id, edges, now)
        local head = head_of(id)
        if not head or head[STATE] ~= 'parked' or call('HGET', JOB .. id, 'b') ~= CHILDREN then
            return
        end
        local err = gives_up(edges)
        if err then
            call('HDEL', JOB .. id, 'b')
            leave(id, head)
            head[FINISHED_AT] = now
            enter(id, head, 'discarded')
            save(id, head, 'e', pack(err))
            tell_of_dead(id, head, now)
        elseif goes_on(edges) or call('EXISTS', OPEN .. id) == 0 then
            call('HDEL', JOB .. id, 'b')
            leave(id, head)
            local due = tonumber(head[RUN_AT])
            if due <= now then
                head[RUN_AT] = due - lead_of(id)
            end
            enter(id, head, due > now and 'scheduled' or 'available')
            save(id, head)
        end
    end

    -- Tell the parents of what has ended; those that are given up are told to theirs, in the next round.
    local function tell(now)
        while #ended > 0 do
            local round, heard, parents = ended, {}, {}
            ended = {}
            for _, one in ipairs(round) do
                local child = one[1]
                local state, result, raw, err = end_of(child, one[2])
                call('SREM', AWAITED, child)
                for _, parent in ipairs(call('SMEMBERS', PARENTS .. child)) do
                    if call('SISMEMBER', OPEN .. parent, child) == 1 then
                        if not heard[parent] then
                            heard[parent] = {}
                            parents[#parents + 1] = parent
                        end
                        table.insert(heard[parent], write_end(parent, child, state, result, raw, err))
                    end
                end
            end
            table.sort(parents)
            for _, parent in ipairs(parents) do
                hear(parent, heard[parent], now)
            end
        end
    end

    -- A job that had ended comes back: whoever waits for it waits on.
    local function reopen(child)
        for _, parent in ipairs(call('SMEMBERS', PARENTS .. child)) do
            local fine, place, on_failure = pcall(cmsgpack.unpack, call('HGET', EDGES .. parent, child) or '')
            if fine and place then
                call('HSET', EDGES .. parent, child, pack(place, on_failure) .. THREE_NILS)
                call('SADD', OPEN .. parent, child)
                call('SADD', AWAITED, child)
            end
        end
    end

    -- Those of `ids` whose ends are waited for.
    local function awaited_of(ids)
        local found = {}
        if #ids > 0 and some_are_awaited() then
            for _, id in ipairs(ids) do
                if call('SISMEMBER', AWAITED, id) == 1 then
                    found[#found + 1] = id
                end
            end
        end
        return found
    end

    return {
        tell_of_dead = tell_of_dead, most_told = most_told, end_of = end_of, gives_up = gives_up, goes_on = goes_on,
        tell = tell, reopen = reopen, awaited_of = awaited_of,
    }
end

local relatives

-- The functions above.
local function family()
    relatives = relatives or new_family()
    return relatives
end

-- Tell of what has ended.
local function tell_all(now)
    if #ended > 0 then
        family().tell(now)
    end
end
