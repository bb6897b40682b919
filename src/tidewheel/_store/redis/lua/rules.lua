-- The rules of limits: what the code declares, what an operator says, what holds. The twin of `merged` in _model/limit.py.
-- Stands between lib.lua and gates.lua.

local DECLARED, OPERATOR = ROOT .. 'declared', ROOT .. 'operator'
local RULE = {
    slots = 'number', count = 'number', per = 'number', algorithm = 'string', burst = 'number', paused = 'boolean',
    failures = 'number', within = 'number', open_for = 'number', probes = 'number',
}

-- See `new_arithmetic` in gate.lua: made when it is needed. Everything is read once a script.
local function new_rules()
    local limits, own_rules, overruled = {}, {}, nil

    -- What one side says of a limit or a gate, or nil; false when it cannot be read.
    local function said(side, name)
        local text = call('HGET', side, name)
        if not text then
            return nil
        end
        local fine, rule = pcall(cjson.decode, text)
        fine = fine and type(rule) == 'table'
        for field, kind in pairs(RULE) do
            fine = fine and (rule[field] == nil or type(rule[field]) == kind)
        end
        return fine and rule
    end

    -- The rule that holds, false when nobody declared the limit, or what somebody said of it is damaged.
    local function merged(declared, operator, own)
        if not declared or operator == false or own == false then
            return false
        end
        local rule = {}
        for _, side in ipairs({ declared, operator or {}, own or {} }) do
            for name, value in pairs(side) do
                rule[name] = value
            end
        end
        return rule
    end

    local function same(rule, other)
        for name in pairs(rule and other and RULE or {}) do
            if rule[name] ~= other[name] then
                return false
            end
        end
        return not rule == not other
    end

    local function limit_of(name)
        local limit = limits[name]
        if not limit then
            limit = { declared = said(DECLARED, name), operator = said(OPERATOR, name) }
            limit.rule = merged(limit.declared, limit.operator)
            limits[name] = limit
        end
        return limit
    end

    -- The rule for a gate, or false.
    local function rule_at(key, name)
        local limit = limits[name] or limit_of(name)
        overruled = overruled or call('EXISTS', OPERATOR)
        if key == name or overruled == 0 then
            return limit.rule
        elseif own_rules[key] == nil then
            local own = said(OPERATOR, key)
            own_rules[key] = own == nil and limit.rule or merged(limit.declared, limit.operator, own)
        end
        return own_rules[key]
    end

    -- Whether all gates of a limit have its rule. (Known once a rule was asked for.)
    local function alike()
        return overruled == 0
    end

    local function rule_of(gate)
        return rule_at(gate.key, gate.limit)
    end

    -- What is merged for a gate: declared, the operator's, his for this gate (JSON or false).
    local function words_of(gate)
        return call('HGET', DECLARED, gate.limit), call('HGET', OPERATOR, gate.limit),
            gate.key ~= gate.limit and call('HGET', OPERATOR, gate.key)
    end

    -- Store what a side says (JSON, or nil: nothing any more). Gives whether another rule holds now for the limit of that name.
    local function put(side, name, text)
        local before = limit_of(name).rule
        if text then
            call('HSET', side, name, text)
        else
            call('HDEL', side, name)
        end
        limits, own_rules, overruled = {}, {}, nil
        return not same(before, limit_of(name).rule)
    end

    return { rule_at = rule_at, alike = alike, rule_of = rule_of, words_of = words_of, put = put }
end
