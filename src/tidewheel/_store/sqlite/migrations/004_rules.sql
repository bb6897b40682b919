-- Rules of an enqueue, jobs that expire, and jobs that wait for others.
--
-- Who waits has not ended and is under no lease. All columns are empty in a job that has nothing to do with any of this,
-- so it is in none of these indexes. A claim looks at an index only when its condition has a column that the claim writes:
-- so jobs that run are in `expiring`, too, few as they are.
--
-- expires_at   no attempt starts after that
-- backlog      the name under which it is counted while it waits
-- awaited      1: other jobs wait, or have waited, for its end
-- lead         so long before its time is its place in the line
--
-- The job that took a key last holds it by its state, or by the period that ends at `until`: see _model/desk.py. From
-- `look_at` on a sweep asks whether it still does.
--
-- An edge is open until its child has ended: then it has the state, and the result or the error. It stays as long as the
-- parent.
--
-- gates.holder: seq of the job that has the gate for itself, from its first start to its final end

ALTER TABLE tidewheel_jobs ADD COLUMN expires_at INTEGER;

ALTER TABLE tidewheel_jobs ADD COLUMN backlog TEXT;

ALTER TABLE tidewheel_jobs ADD COLUMN awaited INTEGER;

ALTER TABLE tidewheel_jobs ADD COLUMN lead INTEGER;

CREATE INDEX tidewheel_jobs_expiring ON tidewheel_jobs (expires_at)
    WHERE expires_at IS NOT NULL AND finished_at IS NULL;

CREATE INDEX tidewheel_jobs_backlog ON tidewheel_jobs (backlog)
    WHERE backlog IS NOT NULL AND finished_at IS NULL AND lease_until IS NULL;

CREATE TABLE tidewheel_keys (
    key     TEXT PRIMARY KEY,
    job_id  TEXT    NOT NULL,
    since   INTEGER NOT NULL,
    until   INTEGER NOT NULL,
    used    INTEGER NOT NULL,
    look_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX tidewheel_keys_look ON tidewheel_keys (look_at);

CREATE TABLE tidewheel_edges (
    parent     TEXT    NOT NULL,
    child      TEXT    NOT NULL,
    place      INTEGER NOT NULL,
    on_failure TEXT    NOT NULL,
    state      TEXT,
    result     TEXT,
    error      TEXT,
    PRIMARY KEY (parent, child)
) STRICT, WITHOUT ROWID;

CREATE INDEX tidewheel_edges_child ON tidewheel_edges (child);

CREATE INDEX tidewheel_edges_open ON tidewheel_edges (parent)
    WHERE state IS NULL;

ALTER TABLE tidewheel_gates ADD COLUMN holder INTEGER;

CREATE INDEX tidewheel_gates_holder ON tidewheel_gates (holder)
    WHERE holder IS NOT NULL;
