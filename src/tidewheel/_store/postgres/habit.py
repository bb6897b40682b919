"""Which way a claim or an enqueue tries first: as it was the last time. Another way is slower, and as good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

_AGAIN: Final = 50
"""After so many claims in rounds a queue whose gates were not plainly open is given another try."""
_SOON: Final = 5
"""After so many where two claims met: each time is an error in the server's log."""
_CAREFUL: Final = 1000
"""So many enqueues expect that ids are taken, once one was: each surprise is an error in the server's log."""


class Habit:
    """What the queues and the enqueues of a session were like."""

    def __init__(self, *, pooled: bool = False) -> None:
        self.flushes: Literal["by message", "by row", "never"] | None = None
        """How `early.flush` waits for the disk; None: nobody asked yet."""
        self._pooled = pooled
        self._careful = 0
        self._limited = set[str]()
        self._tight: dict[str, int] = {}

    @property
    def early(self) -> bool:
        """A lone job may be heard of before the disk has it. Through a pooler the wait is three round trips."""
        return self.flushes == "by message" and not self._pooled

    def plain(self, queues: Sequence[str]) -> bool:
        """No job with limits was met there."""
        return self._limited.isdisjoint(queues)

    def open(self, queues: Sequence[str]) -> bool:
        """The gates were plainly open (`gates_claim.sql`), or it is time to see whether they are."""
        for queue in queues:
            left = self._tight.get(queue, 0)
            if left > 1:
                self._tight[queue] = left - 1
                return False
        return True

    def was_tight(self, queues: Sequence[str]) -> None:
        """A gate was not plainly open."""
        self._tight.update(dict.fromkeys(queues, _AGAIN))

    def collided(self, queues: Sequence[str]) -> None:
        """Somebody else was at a gate at the same moment."""
        self._tight.update(dict.fromkeys(queues, _SOON))

    def met(self, queues: Sequence[str], *, limited: bool) -> None:
        """Jobs were met there, some with limits or none."""
        (self._limited.update if limited else self._limited.difference_update)(queues)
        for queue in queues:
            if not limited:
                self._tight.pop(queue, None)

    def expects_clashes(self) -> bool:
        """An id was taken not long ago."""
        if self._careful:
            self._careful -= 1
        return self._careful > 0

    def clashed(self) -> None:
        """An id was taken."""
        self._careful = _CAREFUL
