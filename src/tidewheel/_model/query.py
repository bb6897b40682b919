"""Questions to and orders for the admin side of a store, as values."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from tidewheel._model.job import Job
from tidewheel._model.state import JobState


class JobFilter(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Which jobs. An empty tuple or None means any; the fields are joined by *and*."""

    states: tuple[JobState, ...] = ()
    queues: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    tag: str | None = None
    text: str | None = None
    """Substring of the id, kind, arguments or error message; case counts."""
    enqueued_after: int | None = None
    enqueued_before: int | None = None
    finished_before: int | None = None

    @property
    def empty(self) -> bool:
        """True when it would take every job: refused where that is dangerous."""
        return self == JobFilter()


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page of jobs, newest enqueued first, and the cursor of the next (None at the end)."""

    jobs: tuple[Job, ...]
    next: str | None = None


class Action(StrEnum):
    """What `alter` can do to jobs."""

    CANCEL = "cancel"
    """Waiting jobs end at once; a running one is asked to."""
    RETRY = "retry"
    """A final job becomes available again with fresh attempts."""
    RUN_NOW = "run_now"
    """A scheduled or retryable job becomes available."""
    DELETE = "delete"
    """The row and its history go. Refused for running jobs."""


class Altered(msgspec.Struct, frozen=True, gc=False):
    """What happened to one job. `before == after` means the action did not apply;
    `before is None` that there is no such job; `after is None` that it was deleted.
    """

    id: str
    before: JobState | None
    after: JobState | None
    cancel_requested: bool = False


class Enqueued(msgspec.Struct, frozen=True, gc=False):
    """The answer to one enqueued job: its id, or the id of the job that holds its id or unique key."""

    id: str
    inserted: bool
    state: JobState | None = None
    """State of the existing job when not inserted; None when it is gone and its key holds on."""
    did: Literal["", "replaced", "dropped", "full"] = ""
    """What else there is to say of a job that was not inserted: the existing one was changed; its window has let in as many
    as it may (`id` names the last of them); as many wait as may (`id` is the new job's own, which does not exist).
    """
    cancelled: str | None = None
    """The job that was cancelled, or asked to, to make room."""
    remaining: int | None = None
    """Of a rule with a window: how many more it lets in."""
    reset_at: int | None = None
    """Of a rule with a window: its end."""


class Accepted(StrEnum):
    """The answer to one settlement."""

    ACCEPTED = "accepted"
    STALE = "stale"


class SweepReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one sweep did."""

    promoted: int = 0
    rescued: int = 0
    discarded: tuple[str, ...] = ()
    """Ids of the jobs that a rescue made dead letters."""
    cancelled: int = 0
    workers_gone: tuple[str, ...] = ()
    pruned: int = 0
    opened: int = 0
    """Jobs that a gate let into the line again."""
    expired: int = 0
    """Jobs that had not started by the end of their time."""
    now: int = 0
    """The moment of the sweep, by the store's clock."""
    more: bool = False
    """A limit was reached: sweep again soon."""
    next_due_at: int | None = None
    """When the next scheduled or retryable job is due, the next lease ends, the next gate opens or the next waiting job
    expires; None when there is none.
    """


class StoreInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a store says of itself."""

    name: str
    version: str
    schema: int
    now: int
    tx: bool
    """`enqueue` can join a transaction of the caller's."""
    listen: bool
    """Wake-ups cross process borders; without it other processes are seen by polling."""
    durability: str
    """One sentence: what a crash of process, machine or power may lose."""
    notes: tuple[str, ...] = ()
    """What an operator should know besides, a sentence or two each."""
