#!lua flags=no-writes
-- uses: filter
-- Look through a stretch of the jobs in the order of their enqueue. A stretch is short, so that others get their turn.
-- ask: filter, `all` or `dead` (the sorted set to look through), seq to go on behind or nil, "newest first" or
--      "oldest first", rows to look at, jobs to find, "whole" or "ids"
-- gives: a list of: seq of the last row looked at or "" when there is no more; the jobs found, whole or by id
local matches = matcher(ask[1])
local key, behind, few, wanted, whole_jobs = ROOT .. ask[2], ask[3], ask[5], ask[6], ask[7] == 'whole'
local found
if ask[4] == 'newest first' then
    local from = behind and ('(' .. format('%d', behind)) or '+inf'
    found = call('ZREVRANGEBYSCORE', key, from, '-inf', 'WITHSCORES', 'LIMIT', 0, few)
else
    local from = behind and ('(' .. format('%d', behind)) or '-inf'
    found = call('ZRANGEBYSCORE', key, from, '+inf', 'WITHSCORES', 'LIMIT', 0, few)
end
local answer, last = { '' }, ''
for index = 1, #found, 2 do
    local id = found[index]
    local head = head_of(id)
    last = found[index + 1]
    if head and matches(id, head) then
        answer[#answer + 1] = whole_jobs and whole(id) or id
        if #answer > wanted then
            break
        end
    end
end
if #answer > wanted or #found == 2 * few then
    answer[1] = format('%d', tonumber(last))
end
return answer
