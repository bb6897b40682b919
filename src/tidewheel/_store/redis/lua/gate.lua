-- The arithmetic of a gate: the twin of _model/gate.py, function by function and line by line. A list begins with 1 here;
-- `room` gives its two values, and nil for "none".
--
-- rule: a table with the fields of `Rule`, or nil; gate: one with those of `Gate`, as far as they are used here.

local ROOM_MOST, SLIDING_MOST = 1000, 1000

-- A script that meets no job with limits never calls this, so that they cost it nothing.
local function new_arithmetic()
    local min, max, floor = math.min, math.max, math.floor

    -- How many of the numbers, which do not fall, are not above `bound`.
    local function bisect_right(level, bound)
        local low, high = 0, #level
        while low < high do
            local middle = floor((low + high) / 2) + 1
            if level[middle] > bound then
                high = middle - 1
            else
                low = middle
            end
        end
        return low
    end

    local function capacity_of(rule)
        local count = rule.count or 0
        if rule.algorithm == 'fixed' or count < 1 then
            return count
        elseif rule.algorithm == 'bucket' then
            return rule.burst or count
        end
        return min(count, SLIDING_MOST)
    end

    -- Both are worked out once for a rule, which every job of a batch asks for.
    local function capacity(rule)
        rule.most = rule.most or capacity_of(rule)
        return rule.most
    end

    local function interval(rule)
        rule.step = rule.step or math.ceil((rule.per or 0) / max(1, rule.count or 0))
        return rule.step
    end

    local function moment(gate, now)
        local last = gate.level[#gate.level]
        return last and max(now, last) or now
    end

    local function mend(rule, gate, now)
        local level = gate.level
        if #level == 0 then
            return
        end
        local per, first, last = rule.per or 0, level[1], level[#level]
        if rule.algorithm == 'fixed' then
            if #level ~= 2 then
                gate.level = {}
            elseif first > now + per then
                gate.level = { now - now % per, min(last, capacity(rule)) }
            end
            return
        end
        local set_back = last > now + per
        if rule.algorithm == 'bucket' then
            last = set_back and now or last
            local most = max(last, now) + capacity(rule) * interval(rule)
            if set_back or first > most or #level ~= 2 then  -- else it is what it was
                gate.level = { min(first, most), last }
            end
        elseif first > last then
            gate.level = { min(last, now) }
        elseif set_back then
            for index, one in ipairs(level) do
                level[index] = min(one, now)
            end
        end
    end

    local function bucket(rule, gate, now, cost)
        local step = interval(rule)
        now = moment(gate, now)
        local full_at = gate.level[1] or 0
        local missing = max(0, full_at - now)
        local most = capacity(rule)
        return floor((most * step - missing) / step), full_at + (cost - most) * step
    end

    local function window(gate, per, now)
        local start = now - now % per
        if #gate.level > 0 and gate.level[1] >= start then
            return gate.level[1], gate.level[2]
        end
        return start, 0
    end

    local function on_trial(gate)
        return #gate.level > 0 and gate.level[1] < 0
    end

    local function breaks(rule)
        return (rule.failures or 0) > 0
    end

    local function trial_room(rule, gate, now, free)
        if on_trial(gate) and now >= gate.shut_until + (rule.within or 0) then
            gate.level = {}
        end
        if on_trial(gate) then
            local probes = (rule.probes or 1) == 0 and 1 or rule.probes or 1
            free = min(free, max(0, probes - gate.used))
        end
        return free
    end

    local function room(rule, gate, now, cost)
        if not rule or rule.paused or gate.holder then
            return 0
        end
        local free = ROOM_MOST
        if rule.slots then
            free = min(free, rule.slots - gate.used)
            if free < 1 then
                return 0
            end
        end
        if gate.shut_until > now then
            return 0, gate.shut_until
        elseif breaks(rule) then
            return trial_room(rule, gate, now, free)
        elseif not rule.count then
            return free
        end
        local most, per = capacity(rule), rule.per or 0
        if most < 1 or per < 1 then
            return 0
        end
        cost = max(1, min(cost, most))
        mend(rule, gate, now)
        local left, at
        if rule.algorithm == 'bucket' then
            left, at = bucket(rule, gate, now, cost)
        elseif rule.algorithm == 'fixed' then
            local start, used = window(gate, per, now)
            left, at = most - used, start + per
        else
            local past = bisect_right(gate.level, moment(gate, now) - per)
            left = most - (#gate.level - past)
            at = left < cost and gate.level[past + cost - left] + per
        end
        if left >= cost then
            return min(free, floor(left / cost))
        end
        return 0, at
    end

    local function taken(rule, gate, now, cost, holds)
        if holds then
            gate.used = gate.used + 1
        end
        if not rule.count or breaks(rule) then
            return
        end
        local per = rule.per or 0
        cost = max(1, min(cost, capacity(rule)))
        if rule.algorithm == 'bucket' then
            now = moment(gate, now)
            gate.level = { max(gate.level[1] or 0, now) + cost * interval(rule), now }
        elseif rule.algorithm == 'fixed' then
            local start, used = window(gate, per, now)
            gate.level = { start, used + cost }
        else
            now = moment(gate, now)
            local past = bisect_right(gate.level, now - per)
            local level = past == 0 and #gate.level > 0 and gate.level or { unpack(gate.level, past + 1) }
            for _ = 1, cost do
                level[#level + 1] = now
            end
            gate.level = level
        end
    end

    local function freed(gate)
        gate.used = max(0, gate.used - 1)
    end

    local function shut(gate, till)
        gate.shut_until = max(gate.shut_until, till)
    end

    local function failed(rule, gate, now)
        if not rule or not breaks(rule) then
            return
        elseif not on_trial(gate) then
            local since, level = now - (rule.within or 0), {}
            for _, one in ipairs(gate.level) do
                if since < one and one <= now then
                    level[#level + 1] = one
                end
            end
            level[#level + 1] = now
            gate.level = level
            if #level < rule.failures then
                return
            end
        elseif gate.shut_until > now then
            return
        end
        gate.level = { -1 }
        shut(gate, now + (rule.open_for or 0))
    end

    local function succeeded(gate, now)
        if on_trial(gate) and gate.shut_until <= now then
            gate.level = {}
        end
    end

    local function whole_at(rule, gate)
        local level = gate.level
        if rule and breaks(rule) and #level > 0 then
            return max(gate.shut_until, on_trial(gate) and gate.shut_until or level[#level]) + (rule.within or 0)
        elseif not rule or not rule.count or #level == 0 then
            return gate.shut_until
        elseif rule.algorithm == 'bucket' then
            return max(gate.shut_until, unpack(level))
        end
        local last = rule.algorithm == 'fixed' and level[1] or level[#level]
        return max(gate.shut_until, last + (rule.per or 0))
    end

    local function idle_at(rule, gate)
        if gate.used > 0 or gate.waiting or gate.holder then
            return nil
        end
        return whole_at(rule, gate)
    end

    local function idle(rule, gate, now)
        local at = idle_at(rule, gate)
        return at ~= nil and at <= now
    end

    return { room = room, taken = taken, freed = freed, shut = shut, failed = failed, succeeded = succeeded, idle = idle, idle_at = idle_at, whole_at = whole_at }
end
