-- Whose turn it is at the gates with an order: of each, the id of the job that has the place. Stands before gates.lua.
local TURNS = ROOT .. 'turns'

local function new_turns()
    local some  -- has any gate one? Asked once, so that limits without an order cost nothing

    local function holder_at(key)
        if some == nil then
            some = call('EXISTS', TURNS) == 1
        end
        return some and call('HGET', TURNS, key)
    end

    -- The id of the job that has the place; false when it is free.
    local function holder_of(gate)
        if gate.holder == nil then
            local id = holder_at(gate.key)
            if not id and not some then
                return false  -- nothing is remembered: the table would grow
            end
            gate.holder = id
        end
        return gate.holder
    end

    local function take(gate, id)
        some, gate.holder = true, id
        call('HSET', TURNS, gate.key, id)
    end

    local function leave(gate)
        gate.holder = false
        call('HDEL', TURNS, gate.key)
    end

    -- The pass of a flow (the passes of one) at which a job waits for its turn, or nil.
    local function ordered(passes)
        local first = passes and passes[1]
        return first and first.order and first or nil
    end

    return { holder_at = holder_at, holder_of = holder_of, take = take, leave = leave, ordered = ordered }
end
