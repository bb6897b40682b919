-- The quick way past most gates: those of a limit of slots and nothing else, where nobody waits and nothing is shut. Such a
-- gate is no table here but a place in some lists, where its key stands and its slots in use. Stands before gates.lua, which
-- can do everything: whoever asks there for a gate takes it out of here.

local GATES, GATE_KEYS = ROOT .. 'gates', ROOT .. 'gatekeys'
-- A flow of one pass, of plain words: limit, value. Nothing but a rate has another cost than 1.
local OPENS, CLOSES = '^%[%[%["([^"\\]*)","', '^([^"\\]*)",1,true%]%]%]$'

-- See `new_arithmetic` in gate.lua: made when it is needed.
local function new_calm()
    local rules = new_rules()
    local known = {}  -- gates that are not asked for here any more: gates.lua has them
    local places = {}  -- flow: the place of its gate, or false
    local limit, opening, key_opens  -- of the last flow that was read: its limit, how it began, how its key does
    local keys, limits, stored, used = {}, {}, {}, {}  -- by place: ..., its text or false, slots in use or false: not calm
    local read, slots_of = {}, {}  -- stored text: what it says; limit: the slots of all its gates, once they are known
    local listed, place_by_key = 0, {}  -- so many places have been listed by key

    local function read_state(readable, limit, used, shut_until, waiting, needs, opens_at, ...)
        local calm = readable and type(used) == 'number' and shut_until == 0 and waiting == false and needs == 1
            and opens_at == false and select('#', ...) == 0
        return { limit = limit, used = calm and used }
    end

    local function used_in(text, limit)
        local state = read[text]
        if not state then
            state = read_state(pcall(cmsgpack.unpack, text))
            read[text] = state
        end
        return state.limit == limit and state.used
    end

    -- The key of the gate of a flow, or nil. Most begin as the one before did, and a pattern takes its time for each letter.
    local function key_of(flow)
        if not opening or string.find(flow, opening, 1, true) ~= 1 then
            limit = string.match(flow, OPENS)
            opening = limit and '[[["' .. limit .. '","'
            key_opens = limit and limit .. ':'
        end
        if not limit then
            return nil
        end
        local value = string.match(flow, CLOSES, #opening + 1)
        return value and (value == '' and limit or key_opens .. value)
    end

    -- The gates of flows will be asked for: read those that may be calm in one go.
    local function fetch(flows)
        local first, last = #keys + 1, #keys
        for index = 1, #flows do
            local flow = flows[index]
            if places[flow] == nil then
                local key = key_of(flow)
                if key and not known[key] then
                    last = last + 1
                    places[flow], keys[last], limits[last] = last, key, limit
                else
                    places[flow] = false
                end
            end
        end
        for from = first, last, 2000 do
            local found = call('HMGET', GATES, unpack(keys, from, math.min(from + 1999, last)))
            for index = 1, #found do
                local place, text = from + index - 1, found[index]
                stored[place], used[place] = text, not text and 0 or used_in(text, limits[place])
            end
        end
    end

    -- The slots of a gate whose rule has nothing else, or 0.
    local function slots_at(key, limit)
        local rule = rules.rule_at(key, limit)
        local slots = rule and not rule.count and not rule.paused and not rule.failures and rule.slots or 0
        if rules.alike() then
            slots_of[limit] = slots
        end
        return slots
    end

    -- Take the slot of a flow. Gives false when gates.lua must judge.
    local function take(flow)
        local place = places[flow]
        local now = place and used[place]
        if not now or now >= (slots_of[limits[place]] or slots_at(keys[place], limits[place])) then
            return false
        end
        used[place] = now + 1
        return true
    end

    -- Give the slot of a flow back. Gives false when gates.lua must do it.
    local function give(flow)
        local place = places[flow]
        local now = place and used[place]
        if not now or now < 1 then
            return false
        end
        used[place] = now - 1
        return true
    end

    -- Write the gates at these places that have changed. One that was asked for and nothing else is not made.
    local function write_from(first, last)
        local fields, size = {}, 0
        local text, limit, slots  -- those of many gates are the same
        for place = first, last do
            local before, now = stored[place], used[place]
            if now and (now ~= slots or limits[place] ~= limit) then
                limit, slots = limits[place], now
                text = pack(limit, slots, 0, false, 1, false)
            end
            if now and text ~= before and (before or now > 0) then
                fields[size + 1], fields[size + 2] = keys[place], text
                size = size + 2
                stored[place] = text
                if not before then
                    add(GATE_KEYS, 0, keys[place])
                end
            end
        end
        in_parts('HSET', GATES, fields)
    end

    local function write()
        write_from(1, #keys)
    end

    -- The stored text of a gate, or false: from now on it is known to gates.lua.
    local function give_up(key)
        for place = listed + 1, #keys do
            place_by_key[keys[place]] = place
        end
        listed = #keys
        local place = place_by_key[key]
        if place then
            write_from(place, place)
            used[place] = false
        end
        return call('HGET', GATES, key)
    end

    return { fetch = fetch, take = take, give = give, write = write, give_up = give_up, rules = rules, known = known }
end

local calm_kit

-- The functions above, with what they know of the gates.
local function calm_gates()
    calm_kit = calm_kit or new_calm()
    return calm_kit
end
