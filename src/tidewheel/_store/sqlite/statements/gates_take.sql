-- Take slots of gates of a limit, the same number of each. One that does not simply have them, because there are not so many,
-- it is shut, or somebody waits there, fails the statement: then nothing is taken.
-- takes: limit, how many slots of each, how many there are, now, keys (JSON list)
INSERT INTO tidewheel_gates (key, "limit", used, level, shut_until, waiting, needs)
SELECT value, ?1, ?2, '[]', 0, 0, 1 FROM json_each(?5) WHERE true
ON CONFLICT (key) DO UPDATE SET idle_at = NULL, used = iif(
    used + ?2 > ?3 OR shut_until > ?4 OR waiting OR opens_at IS NOT NULL OR holder IS NOT NULL OR level <> '[]',
    NULL, used + ?2
)
