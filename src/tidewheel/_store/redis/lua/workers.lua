#!lua flags=no-writes
-- Workers that beat and were not forgotten.
-- ask: nothing
-- gives: a list of: info (JSON), seen_at, info, seen_at, ...
local infos, answers = call('HGETALL', ROOT .. 'workers'), {}
for index = 1, #infos, 2 do
    answers[#answers + 1] = infos[index + 1]
    answers[#answers + 1] = call('ZSCORE', ROOT .. 'seen', infos[index]) or '0'
end
return answers
