"""One attempt at one job, from claim to settlement."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tidewheel._context import JobContext
from tidewheel._model.outcome import Cancelled, Complete, Discarded, RetryLater, Snoozed

if TYPE_CHECKING:
    from tidewheel._model.job import Claimed
    from tidewheel._task import Task

EVENTS: Final[dict[type, str]] = {
    Complete: "job.completed",
    RetryLater: "job.failed",
    Snoozed: "job.snoozed",
    Cancelled: "job.cancelled",
    Discarded: "job.discarded",
}
"""What is told of the end of an attempt, by its outcome; of any other one "job.released"."""


class Attempt:
    """A claimed job while this worker has it. `context` is what its handler sees."""

    __slots__ = ("begin", "claimed", "context", "free_slot", "handle", "kind", "settled", "task")

    def __init__(
        self,
        claimed: Claimed,
        task: Task[..., object],
        clock: Callable[[], int],
        changed: Callable[[], None],
        free_slot: Callable[[], None],
    ) -> None:
        self.claimed = claimed
        self.kind = claimed.kind
        self.task = task
        self.context = JobContext(claimed, clock, changed)
        self.context.app = task.app
        self.free_slot = free_slot
        self.handle: asyncio.Task[None] | None = None
        """The asyncio task that runs it."""
        self.begin: Callable[[], None] | None = None
        """Starts its timers, when it is in a batch that begins later than its attempt."""
        self.settled = False
        """Its outcome is decided; whatever its handler still does does not count."""

    def interrupt(self, reason: str) -> None:
        """End the attempt for `reason`: its handler is asked to wind up, and what awaits it is cancelled.

        An async handler sees CancelledError. A thread is abandoned, a child process killed.
        """
        self.context.stop(reason)
        if self.handle is not None:
            self.handle.cancel()
