-- The end of a job that waits: nobody starts it any more. Stands behind gates.lua; who calls it writes the gates.
-- err: type, message, stack; or nil, which leaves the error of the row as it is
local function withdraw(id, head, now, err)
    gates().let_go(id, head, now)
    leave(id, head)
    head[FINISHED_AT], head[CANCEL] = now, false
    enter(id, head, 'cancelled')
    if err then
        save(id, head, 'e', pack(err))
    else
        save(id, head)
    end
end

-- The text of an error with its names filled in.
local function filled(template, values)
    return { template[1], (string.gsub(template[2], '{[a-z_]+}', values)), template[3] }
end
