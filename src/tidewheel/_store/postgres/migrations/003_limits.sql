-- Limits: what a job must pass before it starts (`flow`, see _model/flow.py), their rules, and the state of their gates.
--
-- A parked job is in no line: no claim meets it. `jobs_parked` finds the jobs under a gate, those that are parked and
-- those that it let into the line again, by queue and kind, in the order of the line. A job without limits is in it
-- never. The pages of gates have room to spare: `used` and `level` are in no index, so a new version of a row finds its
-- place beside the old one.

ALTER TABLE {schema}.jobs
    ADD COLUMN flow      text COLLATE "C",
    ADD COLUMN parked_by text COLLATE "C";

DROP INDEX {schema}.jobs_unique;

CREATE UNIQUE INDEX jobs_unique ON {schema}.jobs (unique_key)
    WHERE unique_key IS NOT NULL AND state IN ('scheduled', 'available', 'parked', 'running', 'retryable');

CREATE INDEX jobs_parked ON {schema}.jobs (
    parked_by,
    queue,
    kind,
    state,
    priority,
    (CASE WHEN lifo THEN -run_at ELSE run_at END),
    (CASE WHEN lifo THEN -seq ELSE seq END)
) WHERE parked_by IS NOT NULL;

CREATE TABLE {schema}.limits (
    name     text COLLATE "C" PRIMARY KEY,
    declared text,
    operator text
);

CREATE TABLE {schema}.gates (
    key        text    COLLATE "C" PRIMARY KEY,
    "limit"    text    COLLATE "C" NOT NULL,
    shut_until bigint  NOT NULL DEFAULT 0,
    opens_at   bigint,
    used       integer NOT NULL DEFAULT 0,
    needs      bigint  NOT NULL DEFAULT 1,
    waiting    boolean NOT NULL DEFAULT false,
    level      bigint[]
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

CREATE INDEX gates_open ON {schema}.gates (opens_at, key)
    WHERE opens_at IS NOT NULL;

CREATE INDEX gates_waiting ON {schema}.gates ("limit")
    WHERE waiting;
