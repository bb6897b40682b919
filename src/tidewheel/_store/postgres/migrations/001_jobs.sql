-- Jobs, what is known of their past, queues and workers.
--
-- Only the partial index `jobs_ready` is scanned by a claim: a job that cannot run now is not in it, and a
-- finished job is in none of the hot indexes. Inside a priority the oldest comes first, lifo jobs newest first and
-- before the others. Text is compared by bytes (COLLATE "C"): faster than a language's order, and the same everywhere.

CREATE TABLE {schema}.jobs (
    seq              bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_at           bigint  NOT NULL,
    enqueued_at      bigint  NOT NULL,
    started_at       bigint,
    finished_at      bigint,
    lease_until      bigint,
    keep_completed   bigint,
    keep_failed      bigint,
    prune_at         bigint,
    epoch            bigint  NOT NULL DEFAULT 0,
    priority         integer NOT NULL,
    attempt          integer NOT NULL DEFAULT 0,
    max_attempts     integer NOT NULL,
    crashes          integer NOT NULL DEFAULT 0,
    max_crashes      integer NOT NULL,
    lifo             boolean NOT NULL DEFAULT false,
    cancel_requested boolean NOT NULL DEFAULT false,
    id               text    COLLATE "C" NOT NULL,
    kind             text    COLLATE "C" NOT NULL,
    queue            text    COLLATE "C" NOT NULL,
    state            text    COLLATE "C" NOT NULL,
    worker           text    COLLATE "C",
    unique_key       text    COLLATE "C",
    on_dead          text    COLLATE "C",
    args             text    COLLATE "C" NOT NULL,
    tags             text[]  COLLATE "C",
    meta             text    COLLATE "C",
    options          text    COLLATE "C",
    progress         text    COLLATE "C",
    result           text    COLLATE "C",
    error_type       text    COLLATE "C",
    error_message    text    COLLATE "C",
    error_traceback  text    COLLATE "C"
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

CREATE UNIQUE INDEX jobs_id ON {schema}.jobs (id);

CREATE UNIQUE INDEX jobs_unique ON {schema}.jobs (unique_key)
    WHERE unique_key IS NOT NULL AND state IN ('scheduled', 'available', 'running', 'retryable');

CREATE INDEX jobs_ready ON {schema}.jobs
    (queue, priority, (CASE WHEN lifo THEN -run_at ELSE run_at END), (CASE WHEN lifo THEN -seq ELSE seq END))
    WHERE state = 'available';

CREATE INDEX jobs_due ON {schema}.jobs (run_at, seq)
    WHERE state IN ('scheduled', 'retryable');

CREATE INDEX jobs_leased ON {schema}.jobs (lease_until, seq)
    WHERE state = 'running';

CREATE INDEX jobs_final ON {schema}.jobs (queue, kind, (state = 'completed'), finished_at, seq)
    WHERE state IN ('completed', 'cancelled', 'discarded');

CREATE INDEX jobs_dead ON {schema}.jobs (seq)
    WHERE state = 'discarded';

CREATE INDEX jobs_prune ON {schema}.jobs (prune_at)
    WHERE prune_at IS NOT NULL;

CREATE TABLE {schema}.attempts (
    job             bigint  NOT NULL,
    epoch           bigint  NOT NULL,
    started_at      bigint  NOT NULL,
    ended_at        bigint  NOT NULL,
    attempt         integer NOT NULL,
    worker          text,
    outcome         text    NOT NULL,
    error_type      text,
    error_message   text,
    error_traceback text,
    PRIMARY KEY (job, epoch)
);

CREATE TABLE {schema}.logs (
    seq     bigint GENERATED ALWAYS AS IDENTITY,
    job     bigint NOT NULL,
    at      bigint NOT NULL,
    level   text   NOT NULL,
    message text   NOT NULL,
    PRIMARY KEY (job, seq)
);

CREATE TABLE {schema}.queues (
    name   text    COLLATE "C" PRIMARY KEY,
    paused boolean NOT NULL
);

CREATE TABLE {schema}.workers (
    id      text   COLLATE "C" PRIMARY KEY,
    seen_at bigint NOT NULL,
    info    text   NOT NULL
);
