-- The gates of limits: who may start, who is parked, who comes back into the line. Stands between lib.lua and the scripts
-- that judge, behind gate.lua, rules.lua, turns.lua and calm.lua. It is the twin of _model/usher.py.
--
-- A gate is read when it is first asked for, changed as a table, and written once, by `look`: the last word about gates in
-- a script, after what it did to jobs has been flushed.

local OPENING = ROOT .. 'opening'
local PARKED, SCOUTS, PAIRS, WAITING = ROOT .. 'parked:', ROOT .. 'scouts:', ROOT .. 'pairs:', ROOT .. 'waiting:'
local STRETCH = 1000  -- gates that one round recounts
local OPENED_MOST = 5000  -- others wait while a script runs: the next sweep goes on

-- The seq of a member of a line.
local function seq_in(member)
    local seq = tonumber(string.sub(member, 25, 40))
    return string.sub(member, 5, 5) == '0' and EXACT - seq or seq
end

-- Called by the first who meets a job with limits, so that they cost the others nothing.
local function new_gates()
    local arithmetic = new_arithmetic()
    local room, taken, freed, shut = arithmetic.room, arithmetic.taken, arithmetic.freed, arithmetic.shut
    local calm = calm_gates()
    local rules, known = calm.rules, calm.known
    local rule_of = rules.rule_of
    local turns = new_turns()
    local holder_of, ordered = turns.holder_of, turns.ordered
    local flows = {}
    local NONE = {}  -- the level of all gates that remember nothing, the passes of those flows: never changed

    local function gate_of(text, key, readable, limit, used, shut_until, waiting, needs, opens_at, ...)
        if not readable or type(limit) ~= 'string' or type(used) ~= 'number' or type(needs) ~= 'number' then
            return nil
        end
        local gate = {
            text = text, key = key, limit = limit, used = used, shut_until = shut_until, waiting = waiting, needs = needs,
            level = select('#', ...) > 0 and { ... } or NONE,
        }
        if opens_at then
            gate.opens_at = opens_at
        end
        return gate
    end

    local function text_of(gate)
        return pack(gate.limit, gate.used, gate.shut_until, gate.waiting, gate.needs, gate.opens_at or false, unpack(gate.level))
    end

    -- A gate; a new one where there is none, or one that cannot be read: the next recount says how many hold a slot.
    local function gate_at(key, limit)
        local gate = known[key]
        if not gate then
            local text = calm.give_up(key)
            gate = text and gate_of(text, key, pcall(cmsgpack.unpack, text))
            if not gate then
                local waiting = text and call('EXISTS', PAIRS .. key) == 1
                gate = gate_of(false, key, true, limit or string.match(key, '^[^:]*'), 0, 0, waiting or false, 1, false)
            end
            known[key] = gate
        end
        return gate
    end

    -- Most jobs have one pass, of plain words; the pattern is three times as fast as reading JSON.
    local ONE_PASS = '^%[%[%["([^"\\]*)","([^"\\]*)",(%d+),(%l+)%]%]%]$'

    local function read_passes(text)
        local limit, value, cost, holds = string.match(text, ONE_PASS)
        if holds == 'true' or holds == 'false' then
            local key = value == '' and limit or limit .. ':' .. value
            return { { key = key, limit = limit, cost = tonumber(cost), holds = holds == 'true' } }
        end
        local fine, flow = pcall(cjson.decode, text)
        local found, passes = fine and string.sub(text, 1, 1) == '[' and (flow[1] or {}), {}
        if type(found) ~= 'table' then
            return false
        end
        for index, pass in ipairs(found) do
            if type(pass) ~= 'table' then
                return false
            end
            limit, value, cost, holds = pass[1], pass[2] or '', pass[3] or 1, pass[4] ~= false
            if type(limit) ~= 'string' or type(value) ~= 'string' or type(cost) ~= 'number' then
                return false
            end
            passes[index] = { key = value == '' and limit or limit .. ':' .. value, limit = limit, cost = cost, holds = holds }
            if pass[6] == true then
                passes[index].trips = true
            end
            if pass[5] == 'block' or pass[5] == 'skip' then
                passes[index].order = pass[5]
            end
        end
        return passes
    end

    -- The passes of a flow; false when it cannot be read.
    local function passes_of(text)
        if flows[text] == nil then
            flows[text] = read_passes(text)
        end
        return flows[text]
    end

    local function pair_of(queue, kind)
        return #queue .. ':' .. queue .. ':' .. kind
    end

    local function place_in(sort, key, pair)
        return sort .. #key .. ':' .. key .. ':' .. pair
    end

    local function parked_in(key, pair)
        local place = place_in(PARKED, key, pair)
        lines[place] = lines[place] or { PAIRS .. key, pair }
        return place
    end

    -- A job leaves its line that a gate, `by`, had let into it. Gives the gate.
    local function let_in(by, id, queue, kind)
        drop(place_in(SCOUTS, by, pair_of(queue, kind)), id)
        return gate_at(by)
    end

    -- Whether a job has the place at its gate with an order, from now on at the latest. Gives the gate if not.
    local function has_turn(id, pass, parked_by, now)
        local gate = gate_at(pass.key, pass.limit)
        local holder, came = holder_of(gate), gate == parked_by
        if holder == id then
            return true
        elseif holder or (gate.waiting and not came) or room(rule_of(gate), gate, now, pass.cost) < 1 then
            return false, gate
        end
        taken(rule_of(gate), gate, now, pass.cost, false)
        turns.take(gate, id)
        if came then
            gate.needs = pass.cost
        end
        return true
    end

    -- A job that waits ends, or must pass others (`text`) from now on: it gives up the place where it has its turn.
    local function step_down(id, now, text)
        local pass = ordered(passes_of(call('HGET', JOB .. id, 'g') or ''))
        local stays = text and ordered(passes_of(text))
        if pass and not (stays and stays.key == pass.key) and turns.holder_at(pass.key) == id then
            local gate = gate_at(pass.key)
            turns.leave(gate)
            gate.opens_at = gate.waiting and now or gate.opens_at
        end
    end

    -- Judge a job that was taken out of its line; `by` is its parked_by or nil, `expires` its expires_at or nil. Gives true
    -- when it may start, false when it is parked; nil when its flow cannot be read.
    local function admit(id, head, text, by, now, expires)
        local parked_by = by and let_in(by, id, head[QUEUE], head[KIND])
        local passes, refusing = passes_of(text), nil
        if passes and expires and tonumber(expires) <= now then
            count('available', head[QUEUE], -1)
            count('parked', head[QUEUE], 1)
            head[STATE] = 'parked'
            save(id, head, 'b', EXPIRED)  -- no gate: nothing opens it, and the next sweep ends it
            mark(id, head, nil, expires)  -- it may have been with a worker that knows nothing of this
            hints.due = true
            return false
        end
        local first, way = ordered(passes), passes or {}
        if first then
            local has, gate = has_turn(id, first, parked_by, now)
            if has then
                way = { unpack(passes, 2) }
            else
                gate.waiting, gate.needs = true, first.cost
                refusing, way = gate, {}
            end
        end
        for place = 1, #way do
            local pass = way[place]
            local gate = gate_at(pass.key, pass.limit)
            if room(rule_of(gate), gate, now, pass.cost) < 1 then
                gate.waiting, gate.needs = true, pass.cost
                refusing = gate
                break
            end
        end
        if refusing then
            count('available', head[QUEUE], -1)
            count('parked', head[QUEUE], 1)
            head[STATE] = 'parked'
            add(parked_in(refusing.key, pair_of(head[QUEUE], head[KIND])), 0, turn(head) .. id)
            save(id, head, 'b', refusing.key)
            return false
        end
        for place = 1, #way do
            local pass = way[place]
            local gate = gate_at(pass.key)
            taken(rule_of(gate), gate, now, pass.cost, pass.holds)
            if gate == parked_by then
                gate.needs = pass.cost
            end
        end
        if parked_by then
            call('HDEL', JOB .. id, 'b')
        end
        return passes and true or nil
    end

    -- A job was taken out of its line that cannot be read.
    local function pass_by(id, by, queue, kind)
        let_in(by, id, queue, kind)
        call('HDEL', JOB .. id, 'b')
    end

    local function end_of(id, text, final, hold, till, failed, now)
        local passes = passes_of(text) or NONE
        for place = 1, #passes do
            local pass = passes[place]
            -- Asked for where it changes only: a gate that was asked for is looked at in the end.
            if pass.trips and failed then
                local gate = gate_at(pass.key, pass.limit)
                arithmetic.failed(rule_of(gate), gate, now)
            end
            if place == 1 and pass.order and (final or pass.order == 'skip') and turns.holder_at(pass.key) == id then
                turns.leave(gate_at(pass.key, pass.limit))
            end
            if pass.holds then
                freed(gate_at(pass.key, pass.limit))
            end
            for _, limit in ipairs(hold or NONE) do
                if limit == pass.limit then
                    shut(gate_at(pass.key, pass.limit), till)
                end
            end
        end
    end

    -- Ends of attempts: each frees its slots. A list of: id; flow; whether the job has ended, so that it gives up its turn; limits
    -- whose gates are shut (a list or nil), until when; whether a breaker is told of a failure.
    local function give_back(ends, now)
        local texts = {}
        for place, one in ipairs(ends) do
            texts[place] = one[2]
        end
        calm.fetch(texts)
        for _, one in ipairs(ends) do
            if one[4] or not calm.give(one[2]) then
                end_of(one[1], one[2], one[3], one[4], one[5], one[6], now)
            end
        end
    end

    -- The end of a job that completed.
    local function completed(id, text, now)
        end_of(id, text, true, nil, nil, false, now)
        for _, pass in ipairs(passes_of(text) or NONE) do
            if pass.trips then
                arithmetic.succeeded(gate_at(pass.key), now)
            end
        end
    end

    -- A job that waits, parked or in line, is cancelled or deleted. The gate that let it into the line is looked at by the
    -- next sweep.
    local function let_go(id, head, now)
        step_down(id, now)
        local by = call('HGET', JOB .. id, 'b')
        if not by then
            return
        elseif NO_GATES[by] then
            call('HDEL', JOB .. id, 'b')
            return
        elseif head[STATE] == 'parked' then
            drop(parked_in(by, pair_of(head[QUEUE], head[KIND])), turn(head) .. id)
        else
            local gate = let_in(by, id, head[QUEUE], head[KIND])
            gate.opens_at = gate.waiting and now or gate.opens_at
        end
        call('HDEL', JOB .. id, 'b')
    end

    -- A parked job gets another priority, or goes back into its line at once, as one that the gate let in.
    local function move_parked(id, head, by, state, priority)
        local pair, gated, before = pair_of(head[QUEUE], head[KIND]), by and not NO_GATES[by], turn(head)
        local place = gated and parked_in(by, pair)
        head[PRIORITY] = priority
        local moves = state ~= 'parked' or turn(head) ~= before
        if gated and moves then
            drop(place, before .. id)
        end
        if state ~= 'parked' then
            count('parked', head[QUEUE], -1)
            enter(id, head, state)
            if gated then
                add(place_in(SCOUTS, by, pair), 0, id)
            end
        elseif gated and moves then
            add(place, 0, turn(head) .. id)
        end
    end

    -- A parked job comes back into its line. Gives 0 where it cannot: it is damaged, or not parked any more.
    local function come_back(gate, pair, member, scouts, now)
        local id = string.sub(member, 41)
        local head = head_of(id)
        drop(parked_in(gate.key, pair), member)
        if head and head[STATE] == 'parked' then
            count('parked', head[QUEUE], -1)
            enter(id, head, 'available')
            save(id, head)
            add(scouts, 0, id)
            return 1
        elseif not head then
            local length, rest = string.match(pair, '^(%d+):(.*)$')
            call('HDEL', JOB .. id, 'b')
            set_aside(id, seq_in(member), 'parked', string.sub(rest, 1, length), string.sub(rest, length + 2), now)
        end
        return 0
    end

    -- Let parked jobs back into the line, of each queue and kind as many as there is room for beside those that came back
    -- before. Gives their number.
    local function release(gate, free, now)
        local opened = 0
        for _, pair in ipairs(call('SMEMBERS', PAIRS .. gate.key)) do
            local parked, scouts = parked_in(gate.key, pair), place_in(SCOUTS, gate.key, pair)
            local missing, looked_at = free - call('ZCARD', scouts), 0
            while missing > 0 do
                local members = call('ZRANGE', parked, looked_at, looked_at + missing - 1)
                if #members == 0 then
                    break
                end
                looked_at = looked_at + #members
                for _, member in ipairs(members) do
                    local back = come_back(gate, pair, member, scouts, now)
                    missing, opened = missing - back, opened + back
                end
            end
        end
        return opened
    end

    local function write_gate(gate)
        local waited, opened_at, _
        if gate.text then
            _, _, _, waited, _, opened_at = cmsgpack.unpack(gate.text)
        else
            add(GATE_KEYS, 0, gate.key)
        end
        if gate.waiting ~= (waited or false) then
            call(gate.waiting and 'SADD' or 'SREM', WAITING .. gate.limit, gate.key)
        end
        if gate.opens_at ~= (opened_at or nil) then
            if gate.opens_at then
                add(OPENING, gate.opens_at, gate.key)
                hints.due = true
            else
                drop(OPENING, gate.key)
            end
        end
    end

    -- Write the gates that have changed. One that was asked for and nothing else is not made.
    local function write()
        local states = {}
        for key, gate in pairs(known) do
            local text = text_of(gate)
            local made = gate.text or gate.used > 0 or gate.waiting or gate.shut_until > 0 or #gate.level > 0 or gate.holder
            if made and text ~= gate.text then
                write_gate(gate)
                gate.text = text
                states[#states + 1], states[#states + 2] = key, text
            end
        end
        in_parts('HSET', GATES, states)
        calm.write()
    end

    -- The last word: every gate that has jobs waiting and room lets some into the line; `only`: those and no others. Gives how
    -- many jobs.
    local function look(now, only)
        local opened, open = 0, {}
        flush()
        for _, gate in pairs(only or known) do
            if gate.opens_at then
                gate.opens_at = nil  -- not where there is none: the table would grow
            end
            if gate.waiting then
                holder_of(gate)
                local free, at = room(rule_of(gate), gate, now, gate.needs)
                gate.opens_at = at
                if free > 0 and opened >= OPENED_MOST then
                    gate.opens_at = now
                elseif free > 0 then
                    opened = opened + release(gate, free, now)
                    open[#open + 1] = gate
                end
            end
        end
        flush()
        for _, gate in ipairs(open) do
            if call('EXISTS', PAIRS .. gate.key) == 0 then
                gate.waiting, gate.needs, gate.opens_at = false, 1, nil
            end
        end
        write()
        flush()
        return opened
    end

    -- Whether some that came back into the line are not there any more, though nobody said so; forgets those.
    local function scouts_lost(gate)
        local lost = false
        for _, pair in ipairs(gate.waiting and call('SMEMBERS', PAIRS .. gate.key) or {}) do
            local scouts = place_in(SCOUTS, gate.key, pair)
            for _, id in ipairs(call('ZRANGE', scouts, 0, -1)) do
                local head = head_of(id)
                if not head or head[STATE] ~= 'available' or call('HGET', JOB .. id, 'b') ~= gate.key then
                    drop(scouts, id)
                    lost = true
                end
            end
        end
        return lost
    end

    -- Whether the place at a gate is held by a job that cannot give it up: it is gone, or has ended, or passes others.
    local function turn_lost(gate)
        local id = holder_of(gate)
        local head = id and head_of(id)
        local first = head and not FINAL[head[STATE]] and ordered(passes_of(call('HGET', JOB .. id, 'g') or ''))
        if not id or (first and first.key == gate.key) then
            return false
        end
        turns.leave(gate)
        return true
    end

    -- Count anew who holds a slot: a worker of a version without gates gives none back. A round looks at a stretch of the
    -- gates, the next one at those behind it. Forgets those that nobody would miss. Gives how many jobs were let into the line.
    local function recount(now)
        local behind, used, mended = call('HGET', KEYS[1], 'recounted') or '', {}, {}
        local keys = call('ZRANGEBYLEX', GATE_KEYS, behind == '' and '-' or '(' .. behind, '+', 'LIMIT', 0, STRETCH)
        call('HSET', KEYS[1], 'recounted', #keys == STRETCH and keys[STRETCH] or '')
        for _, id in ipairs(#keys > 0 and call('ZRANGE', LEASES, 0, -1) or {}) do
            local text = call('HGET', JOB .. id, 'g')
            for _, pass in ipairs(text and passes_of(text) or {}) do
                used[pass.key] = (used[pass.key] or 0) + (pass.holds and 1 or 0)
            end
        end
        for _, key in ipairs(keys) do
            local gate = gate_at(key)
            local free = turn_lost(gate)
            if scouts_lost(gate) or free or not gate.text or gate.used ~= (used[key] or 0) then
                gate.used = used[key] or 0
                mended[key] = gate
            end
        end
        local opened = look(now, mended)
        for _, key in ipairs(keys) do
            local gate = known[key]
            if arithmetic.idle(rule_of(gate), gate, now) then
                call('HDEL', GATES, key)
                drop(GATE_KEYS, key)
                known[key] = nil
            end
        end
        flush()
        return opened
    end

    -- The gates whose time has come, at most so many, are looked at. Gives how many they are.
    local function due(now, limit)
        local keys = call('ZRANGEBYSCORE', OPENING, '-inf', now, 'LIMIT', 0, limit)
        for _, key in ipairs(keys) do
            if not gate_at(key).opens_at then
                drop(OPENING, key)  -- it was damaged
            end
        end
        return #keys
    end

    -- The next sweep looks at a gate under which jobs wait.
    local function look_soon(key, now)
        local gate = gate_at(key)
        if gate.waiting then
            gate.opens_at = now
        end
    end

    -- Store what a side says of a limit, or of a single gate (JSON, or nil: nothing any more).
    local function put(side, name, text, now)
        local changed = rules.put(side, name, text)
        if string.find(name, ':', 1, true) then
            look_soon(name, now)
        elseif changed then
            for _, key in ipairs(call('SMEMBERS', WAITING .. name)) do
                look_soon(key, now)
            end
        end
    end

    return {
        admit = admit, pass_by = pass_by, give_back = give_back, completed = completed, step_down = step_down, let_go = let_go,
        move_parked = move_parked, due = due, look = look, recount = recount, holder_of = holder_of, write = write,
        put = put, gate_at = gate_at, rule_of = rule_of, words_of = rules.words_of, room = room, taken = taken,
        whole_at = arithmetic.whole_at,
    }
end

local kit

-- The functions above, with what they know of the gates.
local function gates()
    kit = kit or new_gates()
    return kit
end

-- `look`, where a gate was met. At calm gates nobody waits.
local function look_at_gates(now)
    if kit then
        return kit.look(now)
    elseif calm_kit then
        calm_kit.write()
        flush()
    end
    return 0
end
