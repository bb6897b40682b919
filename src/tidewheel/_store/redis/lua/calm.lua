-- The quick way past most gates: those of a limit of slots and nothing else, where nobody waits and nothing is shut. Such a
-- gate is no table here but a number, its slots in use. Stands before gates.lua, which can do everything: whoever asks there
-- for a gate takes it out of here.

local GATES, GATE_KEYS = ROOT .. 'gates', ROOT .. 'gatekeys'
local ONE_SLOT = '^%[%[%["([^"\\]*)","([^"\\]*)",%d+,true%]%]%]$'  -- a flow of one pass, of plain words

-- See `new_arithmetic` in gate.lua: made when it is needed. known: gates that are not asked for here any more
local function new_calm(rules, known)
    local keys = {}  -- flow: its gate, or false
    local used, limits, fresh, changed = {}, {}, {}, {}  -- by gate: slots in use, or false when it is not calm; ...
    local read, written = {}, {}  -- stored text: what it says; limit: texts by slots in use

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

    local function text_of(limit, used)
        written[limit] = written[limit] or {}
        local text = written[limit][used] or pack(limit, used, 0, false, 1, false)
        written[limit][used] = text
        return text
    end

    -- The gates of flows will be asked for: read those that may be calm in one go. rows: lists that have a flow at `column`
    local function fetch(rows, column)
        local asked = {}
        for _, row in pairs(rows) do
            local flow = row[column]
            if flow and keys[flow] == nil then
                local limit, value = string.match(flow, ONE_SLOT)
                local key = limit and (value == '' and limit or limit .. ':' .. value) or false
                keys[flow] = key
                if key and not limits[key] and not known[key] then
                    limits[key] = limit
                    asked[#asked + 1] = key
                end
            end
        end
        for first = 1, #asked, 2000 do
            local found = call('HMGET', GATES, unpack(asked, first, math.min(first + 1999, #asked)))
            for place = 1, #found do
                local key, text = asked[first + place - 1], found[place]
                used[key], fresh[key] = text and used_in(text, limits[key]) or not text and 0, not text or nil
            end
        end
    end

    -- The slots of a rule that has nothing else, or 0.
    local function slots_of(rule)
        if not rule.slots_alone then
            rule.slots_alone = not rule.count and not rule.paused and not rule.failures and rule.slots or 0
        end
        return rule.slots_alone
    end

    -- Take the slot of a flow. Gives false when gates.lua must judge.
    local function take(flow)
        local key = keys[flow]
        local now = key and used[key]
        local rule = now and rules.rule_at(key, limits[key])
        if not rule or now >= slots_of(rule) then
            return false
        end
        used[key], changed[key] = now + 1, true
        return true
    end

    -- Give the slot of a flow back. Gives false when gates.lua must do it.
    local function give(flow)
        local key = keys[flow]
        local now = key and used[key]
        if not now or now < 1 then
            return false
        end
        used[key], changed[key] = now - 1, true
        return true
    end

    local function write()
        local states = {}
        for key in pairs(changed) do
            states[#states + 1], states[#states + 2] = key, text_of(limits[key], used[key])
            if fresh[key] then
                add(GATE_KEYS, 0, key)
                fresh[key] = nil
            end
        end
        changed = {}
        in_parts('HSET', GATES, states)
    end

    -- The stored text of a gate, or false: from now on it is known to gates.lua.
    local function give_up(key)
        if changed[key] then
            write()
        end
        used[key] = false
        return call('HGET', GATES, key)
    end

    return { fetch = fetch, take = take, give = give, write = write, give_up = give_up }
end
