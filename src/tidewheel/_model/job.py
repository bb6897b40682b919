"""What a job is: as it is enqueued, as a worker claims it, and as people read it.

Every time is an integer number of microseconds since 1970 (UTC); every duration is in microseconds.
JSON travels as text: the store never looks inside arguments or results.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from tidewheel._model.after import After
from tidewheel._model.enqueue_rule import Backlog, EnqueueRule, Fair
from tidewheel._model.flow import EMPTY_FLOW, Pass, flow_of
from tidewheel._model.state import JobState

DEFAULT_QUEUE: Final = "default"
DEFAULT_PRIORITY: Final = 100
FIRST_PRIORITY: Final = 1
LAST_PRIORITY: Final = 1000


class Lease(NamedTuple):
    """The right to write about one attempt. `epoch` grows at every claim and every rescue and never falls,
    so a worker whose lease was taken away can never be mistaken for its successor.
    """

    job_id: str
    epoch: int


class ErrorInfo(msgspec.Struct, frozen=True, gc=False):
    """Why an attempt failed, as plain text that any process can show."""

    type: str
    """Qualified name of the exception class, or of the reason (`tidewheel.Crashed`)."""
    message: str
    traceback: str = ""
    """Formatted stack, newest frame last, capped by the stack-trace limit."""


class NewJob(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A job as it is handed to `Store.enqueue`."""

    id: str
    kind: str
    args: str
    """JSON text of the arguments."""
    queue: str = DEFAULT_QUEUE
    priority: int = DEFAULT_PRIORITY
    """1 (first) to 1000 (last)."""
    delay: int = 0
    """Microseconds from the store's now. Ignored when `run_at` is given."""
    run_at: int | None = None
    lifo: bool = False
    """Before, not behind, the jobs of equal priority that wait already."""
    max_attempts: int = 1
    max_crashes: int = 3
    """So many lost workers (crash, kill, expired lease) make a dead letter of the job."""
    unique_key: str | None = None
    """At most one live job may hold it."""
    tags: tuple[str, ...] = ()
    meta: str | None = None
    """JSON text of an object of the user's."""
    options: str | None = None
    """JSON text of the per-job settings a runner reads (timeouts, retry policy); opaque to the store."""
    keep_completed: int | None = None
    """Per-job retention in microseconds after completion; 0 = remove at once, None = by the rules of `sweep`."""
    keep_failed: int | None = None
    """The same for cancelled and discarded jobs."""
    on_dead: str | None = None
    """Kind of the job that the store enqueues, in the same atom, when this one is discarded.
    Its arguments are `{"job_id": <id>}`, its queue is this job's queue."""
    flow: str | None = None
    """The gates it must pass (`flow_text`); None for a job without limits."""
    rule: EnqueueRule | None = None
    """What its enqueue does to the job that holds the same key."""
    backlog: Backlog | None = None
    """How many like it may wait."""
    expires_in: int | None = None
    """Microseconds from the store's now: no attempt starts after that, and while it waits then, it is cancelled."""
    after: tuple[After, ...] = ()
    """The jobs it waits for."""
    lead: int = 0
    """Microseconds by which it comes before the jobs that are due at the same moment: its place in the line is `due - lead`."""
    fair: Fair | None = None
    """When given, a job that may run at once has the place in the line that is its tenant's turn."""


def stored_flow(new: NewJob) -> str | None:
    """`Job.flow` of a new job. One that expires has an empty one at least: so it goes the way of jobs with limits, where
    its time is asked for, and jobs with neither pay nothing.
    """
    return EMPTY_FLOW if new.flow is None and new.expires_in is not None else new.flow


class Claimed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A job as a worker receives it: what running it needs, nothing more."""

    id: str
    epoch: int
    kind: str
    queue: str
    args: str
    attempt: int
    max_attempts: int
    crashes: int
    enqueued_at: int
    claimed_at: int
    """The store's clock at the claim; the lease ends one lease time after it."""
    tags: str | None = None
    """JSON text of a list, or None."""
    meta: str | None = None
    options: str | None = None
    max_crashes: int = 3

    @property
    def lease(self) -> Lease:
        return Lease(self.id, self.epoch)

    @property
    def last_life(self) -> bool:
        """See `on_last_life`."""
        return on_last_life(self.crashes, self.max_crashes, self.attempt - 1, self.max_attempts)


def on_last_life(crashes: int, max_crashes: int, attempt: int, max_attempts: int) -> bool:
    """Whether a worker was lost with this job before, and one that is lost in its next attempt makes a dead letter of
    it. `attempt` is the number before that attempt.
    """
    return crashes > 0 and (crashes + 1 >= max_crashes or attempt + 1 >= max_attempts)


class Job(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A job as `get` and `list` show it: the whole row."""

    id: str
    kind: str
    queue: str
    state: JobState
    args: str
    priority: int
    run_at: int
    """When it is, or was, due. A job that may run at once carries its enqueue time."""
    lifo: bool
    attempt: int
    """Tries that count towards `max_attempts`."""
    max_attempts: int
    epoch: int
    """The fence: grows at every claim and every rescue, never falls."""
    crashes: int
    max_crashes: int
    enqueued_at: int
    started_at: int | None = None
    """Start of the latest attempt."""
    finished_at: int | None = None
    """Set if and only if the state is final."""
    lease_until: int | None = None
    """Set if and only if the state is running."""
    worker: str | None = None
    """Id of the worker that claimed it last."""
    cancel_requested: bool = False
    unique_key: str | None = None
    """Kept after the job has ended, for people; only live jobs hold it against others."""
    tags: tuple[str, ...] = ()
    meta: str | None = None
    options: str | None = None
    keep_completed: int | None = None
    keep_failed: int | None = None
    on_dead: str | None = None
    progress: str | None = None
    """JSON text of the last reported progress."""
    result: str | None = None
    """JSON text of what the handler returned, when completed."""
    error: ErrorInfo | None = None
    """The latest failure; kept when a later attempt succeeds, cleared by `alter retry`."""
    flow: str | None = None
    """The gates it must pass, as JSON text; None for a job without limits."""
    parked_by: str | None = None
    """The gate that stopped it, from the claim that parked it until the one that takes it; or what else it waits for, one
    of the words `CHILDREN` and `EXPIRED`.
    """
    expires_at: int | None = None
    """No attempt starts after that."""
    backlog: str | None = None
    """The name under which those that wait are counted."""
    lead: int = 0
    """Microseconds by which it comes before others in the line. While it waits for its time, `run_at` is without it."""

    @property
    def passes(self) -> tuple[Pass, ...]:
        """Its gates one by one; none when they cannot be read."""
        try:
            return () if self.flow is None else flow_of(self.flow).passes
        except msgspec.MsgspecError:
            return ()

    @property
    def payload(self) -> Any:
        """The arguments decoded from JSON, by parameter name."""
        return msgspec.json.decode(self.args)


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An attempt that did not simply complete: kept for the job's history."""

    job_id: str
    epoch: int
    attempt: int
    worker: str | None
    started_at: int
    ended_at: int
    outcome: str
    """`retry`, `snooze`, `release`, `cancel`, `discard`, or `rescue`."""
    error: ErrorInfo | None = None


class LogLine(msgspec.Struct, frozen=True, gc=False):
    """One line a handler logged through its job."""

    at: int
    level: str
    message: str


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a job's past, oldest first."""

    job: Job
    attempts: tuple[AttemptRecord, ...]
    logs: tuple[LogLine, ...]
