-- Begin to judge by limits.
-- takes: now or null
-- gives: now
--
-- Nobody changes a limit while this transaction judges by it: `put_limits` waits for its end, and it for theirs. Without
-- it a job could be parked under a pause that was lifted this very moment, unseen by the one who lifted it. Taken before
-- any row is locked, and always in a statement before the one that reads the limits: that one sees today's.
SELECT coalesce($1::bigint, {clock}) FROM (SELECT {calm}) AS calm
