-- Jobs, what is known of their past, queues and workers.
--
-- Only the partial index `ready` is scanned by a claim: a job that cannot run now is not in it, and a finished job is in
-- none of the hot indexes. A job is finished if and only if `finished_at` is set, so that is what the indexes ask: SQLite
-- works out their conditions at every write, and a list of states there costs 2 µs each time. `line` and `turn` give the
-- order inside a priority: oldest first, lifo jobs newest first and before the others.

CREATE TABLE tidewheel_jobs (
    seq              INTEGER PRIMARY KEY,
    id               TEXT    NOT NULL,
    kind             TEXT    NOT NULL,
    queue            TEXT    NOT NULL,
    state            TEXT    NOT NULL,
    args             TEXT    NOT NULL,
    priority         INTEGER NOT NULL,
    run_at           INTEGER NOT NULL,
    lifo             INTEGER NOT NULL DEFAULT 0,
    attempt          INTEGER NOT NULL DEFAULT 0,
    max_attempts     INTEGER NOT NULL,
    epoch            INTEGER NOT NULL DEFAULT 0,
    crashes          INTEGER NOT NULL DEFAULT 0,
    max_crashes      INTEGER NOT NULL,
    enqueued_at      INTEGER NOT NULL,
    started_at       INTEGER,
    finished_at      INTEGER,
    lease_until      INTEGER,
    worker           TEXT,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    unique_key       TEXT,
    tags             TEXT,
    meta             TEXT,
    options          TEXT,
    keep_completed   INTEGER,
    keep_failed      INTEGER,
    prune_at         INTEGER,
    on_dead          TEXT,
    progress         TEXT,
    result           TEXT,
    error            TEXT,
    line             INTEGER GENERATED ALWAYS AS (iif(lifo, -run_at, run_at)) VIRTUAL,
    turn             INTEGER GENERATED ALWAYS AS (iif(lifo, -seq, seq)) VIRTUAL
) STRICT;

CREATE UNIQUE INDEX tidewheel_jobs_id ON tidewheel_jobs (id);

CREATE UNIQUE INDEX tidewheel_jobs_unique ON tidewheel_jobs (unique_key)
    WHERE unique_key IS NOT NULL AND finished_at IS NULL;

CREATE INDEX tidewheel_jobs_ready ON tidewheel_jobs (queue, priority, line, turn, kind)
    WHERE state = 'available';

CREATE INDEX tidewheel_jobs_due ON tidewheel_jobs (run_at, queue, state)
    WHERE state = 'scheduled' OR state = 'retryable';

CREATE INDEX tidewheel_jobs_leased ON tidewheel_jobs (lease_until, queue)
    WHERE state = 'running';

CREATE INDEX tidewheel_jobs_final ON tidewheel_jobs (queue, kind, (state = 'completed'), finished_at, prune_at, state)
    WHERE finished_at IS NOT NULL;

CREATE INDEX tidewheel_jobs_dead ON tidewheel_jobs (seq)
    WHERE state = 'discarded';

CREATE INDEX tidewheel_jobs_prune ON tidewheel_jobs (prune_at)
    WHERE prune_at IS NOT NULL;

CREATE TABLE tidewheel_attempts (
    job        INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    worker     TEXT,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL,
    outcome    TEXT    NOT NULL,
    error      TEXT,
    PRIMARY KEY (job, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE tidewheel_logs (
    seq     INTEGER PRIMARY KEY,
    job     INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    level   TEXT    NOT NULL,
    message TEXT    NOT NULL
) STRICT;

CREATE INDEX tidewheel_logs_job ON tidewheel_logs (job, seq);

CREATE TABLE tidewheel_queues (
    name   TEXT PRIMARY KEY,
    paused INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tidewheel_workers (
    id      TEXT PRIMARY KEY,
    info    TEXT NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
