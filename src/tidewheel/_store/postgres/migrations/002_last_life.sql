-- Jobs on their last life wait in a line of their own: a claim hands them out one at a time (see `on_last_life` in
-- _model/job.py). A number, not a truth value: the planner takes conditions apart and would not know them again.

DROP INDEX {schema}.jobs_ready;

CREATE INDEX jobs_ready ON {schema}.jobs (
    queue,
    (CASE WHEN crashes > 0 AND (crashes + 1 >= max_crashes OR attempt + 1 >= max_attempts) THEN 1 ELSE 0 END),
    priority,
    (CASE WHEN lifo THEN -run_at ELSE run_at END),
    (CASE WHEN lifo THEN -seq ELSE seq END)
) WHERE state = 'available';
