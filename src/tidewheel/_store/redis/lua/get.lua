#!lua flags=no-writes
-- Jobs by id.
-- ask: ids
-- gives: a list, for each id the whole job (see `whole` in lib.lua) or nil
local answers = {}
for index, id in ipairs(ask) do
    answers[index] = whole(id) or false
end
return answers
