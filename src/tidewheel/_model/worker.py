"""Workers as the store sees them, what a beat says, and what a claim asks for."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tidewheel._model.job import Lease, LogLine


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One worker process. The id is new at every start, so a reused host or pod name is no confusion."""

    id: str
    host: str
    pid: int
    queues: tuple[str, ...]
    kinds: tuple[str, ...]
    concurrency: int
    running: int = 0
    version: str = ""
    started_at: int = 0
    stopped: bool = False
    """Its last word: it holds nothing any more."""


class WorkerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as `workers` lists it."""

    info: WorkerInfo
    seen_at: int
    """The store's clock at its last beat."""


class Want(msgspec.Struct, frozen=True, gc=False):
    """A claim for at most `slots` jobs of one queue."""

    queue: str
    slots: int


class LeaseBeat(msgspec.Struct, frozen=True, gc=False):
    """A held lease, with the progress and log lines that came since the last beat."""

    lease: Lease
    progress: str | None = None
    logs: tuple[LogLine, ...] = ()


class BeatAnswer(StrEnum):
    """What the store says to a lease in a beat."""

    EXTENDED = "extended"
    CANCEL = "cancel"
    """Extended, and somebody asked to cancel the job."""
    LOST = "lost"
    """Not yours any more: stop, whatever you write is refused."""


class Wakeup(StrEnum):
    """A hint that it is worth looking again. Hints may get lost or come for nothing."""

    WORK = "work"
    """A job became available."""
    DUE = "due"
    """A job was scheduled: the next due time may have moved forward."""
    SETTLED = "settled"
    """A job reached a final state."""
    CONTROL = "control"
    """Somebody cancelled a running job or changed a queue."""
