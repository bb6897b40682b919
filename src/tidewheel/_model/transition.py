"""What an event makes of a job: the decisions that every store shares, as pure functions.

A store reads the few columns a function asks for, calls it inside its transaction, and writes the answer down.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tidewheel._model.enqueue_rule import Backlog
from tidewheel._model.job import ErrorInfo, Job, NewJob
from tidewheel._model.outcome import Cancelled, Complete, Discarded, Outcome, Released, RetryLater, Snoozed
from tidewheel._model.query import Action
from tidewheel._model.state import MOVES, JobState, Move
from tidewheel._model.worker import Wakeup

ON_DEAD_ATTEMPTS: Final = 5
"""`max_attempts` of the job that tells of a dead letter: telling is worth a few tries."""


class Ending(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the end of an attempt makes of its job. Whatever the state, the row's `lease_until` becomes
    None, its `cancel_requested` False, and its `finished_at` now if and only if the state is final.
    """

    state: JobState
    attempt: int
    run_at: int
    result: str | None = None
    error: ErrorInfo | None = None
    """New latest failure of the row; None leaves the one it has."""
    record: str | None = None
    """Outcome word of the attempt record; None = no record."""
    record_error: ErrorInfo | None = None


def ending_of(outcome: Outcome, *, attempt: int, run_at: int, cancel_requested: bool, now: int) -> Ending:
    """What `settle` makes of a running job with these columns."""
    if isinstance(outcome, Complete):
        return Ending(state=JobState.COMPLETED, attempt=attempt, run_at=run_at, result=outcome.result)
    if isinstance(outcome, Discarded):
        return _ended(JobState.DISCARDED, "discard", attempt, run_at, outcome.error)
    why = _reason(outcome)
    if cancel_requested or isinstance(outcome, Cancelled):
        error = outcome.error if isinstance(outcome, RetryLater) else None
        return Ending(
            state=JobState.CANCELLED, attempt=attempt, run_at=run_at, error=error, record="cancel", record_error=why
        )
    if isinstance(outcome, RetryLater):
        return _ended(JobState.RETRYABLE, "retry", attempt, now + outcome.after, outcome.error)
    if isinstance(outcome, Snoozed):
        return Ending(state=JobState.SCHEDULED, attempt=attempt - 1, run_at=now + outcome.after, record="snooze")
    return Ending(state=JobState.AVAILABLE, attempt=attempt - 1, run_at=run_at, record="release", record_error=why)


def rescue_of(
    *, attempt: int, max_attempts: int, crashes: int, max_crashes: int, run_at: int, cancel_requested: bool
) -> Ending:
    """What a rescue makes of a running job whose lease is over. `crashes` is the count before the rescue;
    the caller writes `crashes + 1` and `epoch + 1`.
    """
    crashes += 1
    if cancel_requested:
        return Ending(state=JobState.CANCELLED, attempt=attempt, run_at=run_at, record="rescue")
    if crashes >= max_crashes:
        lost = ErrorInfo(
            "tidewheel.Crashed",
            f"Its worker was lost while running it, {crashes} of at most {max_crashes} times: "
            "it crashed, was killed or stopped beating.",
        )
        return _ended(JobState.DISCARDED, "rescue", attempt, run_at, lost)
    if attempt >= max_attempts:
        over = ErrorInfo(
            "tidewheel.LeaseExpired",
            f"Its lease ended in attempt {attempt} of {max_attempts}, so none is left: "
            "its worker crashed, was killed or stopped beating.",
        )
        return _ended(JobState.DISCARDED, "rescue", attempt, run_at, over)
    return Ending(state=JobState.AVAILABLE, attempt=attempt, run_at=run_at, record="rescue")


def rescue_of_job(job: Job) -> Ending:
    """The same, for a store or a reader that has the whole job at hand."""
    return rescue_of(
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        crashes=job.crashes,
        max_crashes=job.max_crashes,
        run_at=job.run_at,
        cancel_requested=job.cancel_requested,
    )


def _ended(state: JobState, record: str, attempt: int, run_at: int, error: ErrorInfo) -> Ending:
    return Ending(state=state, attempt=attempt, run_at=run_at, error=error, record=record, record_error=error)


def _reason(outcome: Outcome) -> ErrorInfo | None:
    """Why, for the attempt record."""
    if isinstance(outcome, RetryLater):
        return outcome.error
    if isinstance(outcome, Cancelled) and outcome.reason:
        return ErrorInfo("tidewheel.Cancelled", outcome.reason)
    if isinstance(outcome, Released) and outcome.reason:
        return ErrorInfo("tidewheel.Released", outcome.reason)
    return None


def on_dead_job(*, new_id: str, kind: str, dead_id: str, queue: str) -> NewJob:
    """The job that tells of a dead letter. It has no `on_dead` of its own: the chain ends here."""
    args = msgspec.json.encode({"job_id": dead_id}).decode()
    return NewJob(id=new_id, kind=kind, args=args, queue=queue, max_attempts=ON_DEAD_ATTEMPTS)


EXPIRED_ERROR: Final = ErrorInfo("tidewheel.Expired", "It had not started by the end of its time.")
"""Of a job that the sweep ends because its time is over."""


def replaced_by(new_id: str) -> ErrorInfo:
    """Of a waiting job that an enqueue with the same key cancelled."""
    return ErrorInfo("tidewheel.Replaced", f"The job {new_id} took its place.")


def dropped_for(new_id: str, backlog: Backlog) -> ErrorInfo:
    """Of a waiting job that was cancelled because as many waited as may."""
    said = f"{backlog.most} jobs of {backlog.key} wait already; the job {new_id} took its place."
    return ErrorInfo("tidewheel.Dropped", said)


_ALTER: Final = {
    Action.CANCEL: Move.ALTER_CANCEL,
    Action.RETRY: Move.ALTER_RETRY,
    Action.RUN_NOW: Move.ALTER_RUN_NOW,
}


def alters(state: JobState, action: Action) -> JobState | None:
    """The state that an `alter` leads to, or None when it does not apply. Only for actions that keep the row;
    a delete applies to every state but running. A retried parent is parked while a child of it has not ended.
    """
    moves = MOVES.get((state, _ALTER[action]))
    if moves is None:
        return None
    return JobState.AVAILABLE if JobState.AVAILABLE in moves else next(iter(moves))


def alterable(action: Action) -> frozenset[JobState]:
    """The states an action applies to."""
    if action is Action.DELETE:
        return frozenset(set(JobState) - {JobState.RUNNING})
    return frozenset(state for state in JobState if alters(state, action) is not None)


def wakeup_for(state: JobState) -> Wakeup | None:
    """The hint to give when a job has come to `state`."""
    if state is JobState.AVAILABLE:
        return Wakeup.WORK
    if state in (JobState.RUNNING, JobState.PARKED):
        return None
    return Wakeup.SETTLED if state.final else Wakeup.DUE
