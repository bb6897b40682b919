"""Queues: the settings the store keeps, and their counts."""

from __future__ import annotations

import msgspec

from tidewheel._model.state import JobState


class QueueSettings(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an operator set for a queue. A queue without settings runs."""

    name: str
    paused: bool = False


class QueueStats(msgspec.Struct, frozen=True, kw_only=True):
    """A queue's counts at one moment."""

    name: str
    paused: bool
    counts: dict[JobState, int]
    """Every state, zeros included."""
    oldest_available: int | None
    """`run_at` of the job that waits longest, in microseconds; None when nothing waits."""
