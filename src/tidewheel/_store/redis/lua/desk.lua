-- The desk where a job with a rule is enqueued: the twin of _model/desk.py, function by function. It says what to do; the
-- script does it.
--
-- rule: a list of key, holds, period, count, on_conflict, {state: fields}, max_wait; new: the columns of `insert`;
-- row: a list of job_id, since, until, used, or nil; holder: a table with state, flow, parked_by, expires_at, or nil

-- See `new_arithmetic` in gate.lua: made when it is needed.
local function new_desk()
    local HOLDS, PERIOD, COUNT, ON_CONFLICT, REPLACE, MAX_WAIT = 2, 3, 4, 5, 6, 7
    local JOB_ID, SINCE, UNTIL, USED = 1, 2, 3, 4
    local LAST_PLACE = 4503599627370496
    local HOLDING = {
        none = {}, waiting = WAITS, any = setmetatable({}, { __index = function() return true end }),
        live = { scheduled = true, available = true, parked = true, retryable = true, running = true },
    }

    -- Its time is over, and the next sweep ends it.
    local function over(holder, now)
        if not WAITS[holder.state] then
            return false
        end
        return holder.parked_by == EXPIRED or (holder.expires_at ~= nil and holder.expires_at <= now)
    end

    local function holds(rule, row, holder, now)
        if row[UNTIL] > now then
            return true
        elseif not holder then
            return false
        end
        return HOLDING[rule[HOLDS]][holder.state] == true and not over(holder, now)
    end

    local function window(rule, new, row, now)
        if not row or row[UNTIL] <= now or row[UNTIL] > now + rule[PERIOD] then
            row = { new[1], now, now + rule[PERIOD], 0 }
        end
        if row[USED] >= rule[COUNT] then
            return { insert = false, dropped = true, remaining = 0, reset_at = row[UNTIL] }
        end
        row = { new[1], row[SINCE], row[UNTIL], row[USED] + 1 }
        return { insert = true, row = row, remaining = rule[COUNT] - row[USED], reset_at = row[UNTIL] }
    end

    local function has(fields, field)
        for _, one in ipairs(fields) do
            if one == field then
                return true
            end
        end
        return false
    end

    local function changed(rule, new, row, holder, now)
        local state = holder.state
        local fields = rule[REPLACE][state == 'parked' and 'available' or state] or {}
        if #fields == 0 or not WAITS[state] or over(holder, now) then
            return nil
        end
        local run_at
        if has(fields, 'run_at') and (state == 'scheduled' or state == 'retryable') then
            run_at = new[7] or now + new[6]
            if rule[MAX_WAIT] > 0 and tonumber(run_at) > row[SINCE] + rule[MAX_WAIT] then
                run_at = row[SINCE] + rule[MAX_WAIT]
            end
            if tonumber(run_at) <= now then
                state = 'available'
            end
        end
        local args, flow = has(fields, 'args'), new[18]
        if not flow and holder.flow then
            flow = '[[]]'
        end
        if args and state == 'parked' and holder.parked_by ~= CHILDREN and flow ~= holder.flow then
            state = 'available'
        end
        return {
            state = state, run_at = run_at, priority = has(fields, 'priority') and new[5] or nil,
            args = args and new[4] or nil, flow = args and flow or nil,
            meta = has(fields, 'meta') and new[13] or nil, tags = has(fields, 'tags') and (new[12] or '[]') or nil,
        }
    end

    -- The place in line of a new job that may run at once, and the row of its tenant from now on; fair: a list of key, step.
    local function turn_of(new, fair, row, head, now)
        local place = math.max(head or now, row and row[SINCE] or 0)
        local after = math.min(place + fair[2], LAST_PLACE)
        return place, { new[1], after, after, 1 }
    end

    -- What the rule makes of an enqueue: a table with insert, row, change, cancel, dropped, remaining, reset_at.
    local function judge(rule, new, row, holder, now)
        if rule[COUNT] > 0 then
            return window(rule, new, row, now)
        end
        local fresh = { new[1], now, rule[PERIOD] > 0 and now + rule[PERIOD] or 0, 1 }
        if not row or not holds(rule, row, holder, now) then
            return { insert = true, row = fresh }
        elseif rule[ON_CONFLICT] == 'cancel' then
            return { insert = true, row = fresh, cancel = holder ~= nil and not FINAL[holder.state] }
        elseif rule[ON_CONFLICT] == 'replace' and holder then
            return { insert = false, change = changed(rule, new, row, holder, now) }
        end
        return { insert = false }
    end

    return { judge = judge, turn_of = turn_of }
end
