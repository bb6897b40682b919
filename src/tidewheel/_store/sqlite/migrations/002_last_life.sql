-- Jobs on their last life wait in a line of their own: a claim hands them out one at a time (see `on_last_life` in
-- _model/job.py).

ALTER TABLE tidewheel_jobs ADD COLUMN last_life INTEGER GENERATED ALWAYS AS
    (crashes > 0 AND (crashes + 1 >= max_crashes OR attempt + 1 >= max_attempts)) VIRTUAL;

DROP INDEX tidewheel_jobs_ready;

CREATE INDEX tidewheel_jobs_ready ON tidewheel_jobs (queue, last_life, priority, line, turn, kind)
    WHERE state = 'available';
