-- Rules of an enqueue, jobs that expire, and jobs that wait for others.
--
-- All columns are null in a job that has nothing to do with any of this, so it is in none of these indexes.
--
-- expires_at   no attempt starts after that
-- backlog      the name under which it is counted while it waits
-- awaited      true: others wait, or have waited, for its end
-- order_key    the gate whose jobs start in the order of their line, one after the other
-- lead         of a job that shares its line fairly: how far it stands before its time
--
-- The job that took a key last holds it by its state, or by the period that ends at `until`: see _model/desk.py. A row
-- without a job is only there to be locked. From `look_at` on a sweep asks whether anybody would miss it.
--
-- An edge is open until its child has ended: then it has the state, and the result or the error. It stays as long as the
-- parent.
--
-- gates.holder: the job (its seq) that has the gate for itself, from its first start to its final end

ALTER TABLE {schema}.jobs
    ADD COLUMN expires_at bigint,
    ADD COLUMN lead       bigint,
    ADD COLUMN backlog    text COLLATE "C",
    ADD COLUMN order_key  text COLLATE "C",
    ADD COLUMN awaited    boolean;

CREATE INDEX jobs_expiring ON {schema}.jobs (expires_at, seq)
    WHERE expires_at IS NOT NULL AND state IN ('scheduled', 'available', 'parked', 'retryable');

CREATE INDEX jobs_backlog ON {schema}.jobs (backlog, seq)
    WHERE backlog IS NOT NULL AND state IN ('scheduled', 'available', 'parked', 'retryable');

CREATE INDEX jobs_order ON {schema}.jobs (
    order_key,
    queue,
    kind,
    priority,
    (CASE WHEN lifo THEN -run_at ELSE run_at END),
    (CASE WHEN lifo THEN -seq ELSE seq END)
) WHERE order_key IS NOT NULL AND state = 'available';

CREATE TABLE {schema}.keys (
    key     text    COLLATE "C" PRIMARY KEY,
    since   bigint  NOT NULL DEFAULT 0,
    until   bigint  NOT NULL DEFAULT 0,
    look_at bigint  NOT NULL DEFAULT 0,
    used    integer NOT NULL DEFAULT 0,
    job_id  text    COLLATE "C"
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

CREATE INDEX keys_look ON {schema}.keys (look_at);

CREATE TABLE {schema}.edges (
    place           integer NOT NULL,
    parent          text    COLLATE "C" NOT NULL,
    child           text    COLLATE "C" NOT NULL,
    on_failure      text    COLLATE "C" NOT NULL,
    state           text    COLLATE "C",
    result          text    COLLATE "C",
    error_type      text    COLLATE "C",
    error_message   text    COLLATE "C",
    error_traceback text    COLLATE "C",
    PRIMARY KEY (parent, child)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

CREATE INDEX edges_child ON {schema}.edges (child, parent);

CREATE INDEX edges_open ON {schema}.edges (parent)
    WHERE state IS NULL;

ALTER TABLE {schema}.gates
    ADD COLUMN holder bigint;
