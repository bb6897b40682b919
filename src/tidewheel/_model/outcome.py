"""How an attempt ended, as a value. The runner makes one; `Store.settle` writes it."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from tidewheel._model.job import ErrorInfo, Lease, LogLine


class Complete(msgspec.Struct, frozen=True, gc=False):
    """The handler returned `result` (JSON text)."""

    result: str


class RetryLater(msgspec.Struct, frozen=True, gc=False):
    """The attempt failed; the next one is due `after` microseconds from the store's now."""

    after: int
    error: ErrorInfo
    hold: tuple[str, ...] = ()
    """Limits of the job whose gates stay shut for everybody until `after` is over."""


class Snoozed(msgspec.Struct, frozen=True, gc=False):
    """The handler asked to run again in `after` microseconds. Burns no attempt."""

    after: int


class Released(msgspec.Struct, frozen=True, gc=False):
    """Handed back unfinished, to run again at once: the worker stops. Burns no attempt."""

    reason: str = ""


class Cancelled(msgspec.Struct, frozen=True, gc=False):
    """Somebody, or the handler itself, said stop."""

    reason: str = ""


class Discarded(msgspec.Struct, frozen=True, gc=False):
    """Given up for good: becomes a dead letter."""

    error: ErrorInfo


Outcome: TypeAlias = Complete | RetryLater | Snoozed | Released | Cancelled | Discarded


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """An outcome under its lease, with what the handler said last and nobody has written yet."""

    lease: Lease
    outcome: Outcome
    progress: str | None = None
    """JSON text, or None when unchanged since the last beat."""
    logs: tuple[LogLine, ...] = ()
