-- Which jobs a filter means. Stands between lib.lua and the scripts that filter.
-- filter: states, queues, kinds (lists, empty: any), tag, text, enqueued_after, enqueued_before, finished_before (or
--         nil), leave out those asked to cancel?

local function set_of(list)
    if not list or #list == 0 then
        return nil
    end
    local set = {}
    for _, value in ipairs(list) do
        set[value] = true
    end
    return set
end

local function has_tag(extras, wanted)
    local tags = extras and cmsgpack.unpack(extras)
    local fine, list = pcall(cjson.decode, tags or '[]')
    if fine and type(list) == 'table' then
        for _, tag in ipairs(list) do
            if tag == wanted then
                return true
            end
        end
    end
    return false
end

local function has_text(id, head, text)
    local row = call('HMGET', JOB .. id, 'a', 'e')
    local fine, err = pcall(cmsgpack.unpack, row[2] or '')
    local message = fine and type(err) == 'table' and err[2] or ''
    for _, where in ipairs({ id, head[KIND], row[1] or '', message }) do
        if string.find(where, text, 1, true) then
            return true
        end
    end
    return false
end

-- A function of (id, head).
local function matcher(filter)
    local states, queues, kinds = set_of(filter[1]), set_of(filter[2]), set_of(filter[3])
    local tag, text, after, before, ended = filter[4], filter[5], filter[6], filter[7], filter[8]
    local not_asked = filter[9]
    return function(id, head)
        return (not states or states[head[STATE]])
            and (not queues or queues[head[QUEUE]])
            and (not kinds or kinds[head[KIND]])
            and not (not_asked and head[CANCEL])
            and (not after or head[ENQUEUED_AT] >= after)
            and (not before or head[ENQUEUED_AT] < before)
            and (not ended or (head[FINISHED_AT] and head[FINISHED_AT] < ended))
            and (not tag or has_tag(call('HGET', JOB .. id, 'x'), tag))
            and (not text or has_text(id, head, text))
    end
end
