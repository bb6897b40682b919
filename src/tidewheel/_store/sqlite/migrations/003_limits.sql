-- Limits: what a job must pass before it starts (`flow`, see _model/flow.py), their rules, and the state of their gates.
--
-- A parked job is in no line: no claim meets it. `parked` finds the jobs under a gate, those that are parked and those
-- that it let into the line again, by queue and kind, in the order of the line. A job without limits is in it never.

ALTER TABLE tidewheel_jobs ADD COLUMN flow TEXT;

ALTER TABLE tidewheel_jobs ADD COLUMN parked_by TEXT;

CREATE INDEX tidewheel_jobs_parked ON tidewheel_jobs (parked_by, queue, kind, state, priority, line, turn)
    WHERE parked_by IS NOT NULL;

CREATE TABLE tidewheel_limits (
    name     TEXT PRIMARY KEY,
    declared TEXT,
    operator TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE tidewheel_gates (
    key        TEXT PRIMARY KEY,
    "limit"    TEXT    NOT NULL,
    used       INTEGER NOT NULL,
    level      TEXT    NOT NULL,
    shut_until INTEGER NOT NULL,
    waiting    INTEGER NOT NULL,
    needs      INTEGER NOT NULL,
    opens_at   INTEGER,
    idle_at    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX tidewheel_gates_open ON tidewheel_gates (opens_at)
    WHERE opens_at IS NOT NULL;

CREATE INDEX tidewheel_gates_waiting ON tidewheel_gates ("limit")
    WHERE waiting;
