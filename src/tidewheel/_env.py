"""What tests replace: the clock, the ids, the dice. Everything else takes an `Env` and asks it."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final


def wall_clock() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class Uuid7:
    """Ids that sort by the time they were made (RFC 9562, version 7).

    The 12 bits behind the millisecond are a counter (method 1 of section 6.2) and the 62 bits behind it are
    drawn once a millisecond, so ids of one process are strictly increasing and cheap to make in bulk. A clock
    that steps back does not matter: the last millisecond is kept until the clock has caught up.
    """

    _COUNTS: Final = tuple(f"{count:03x}" for count in range(1 << 12))

    def __init__(self, clock: Callable[[], int] = wall_clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._millis = -1  # a test clock may start at 0
        self._ids: Iterator[str] = iter(())
        """Those of this millisecond. Taking the next one needs no lock: it is a single step of the interpreter."""

    def __call__(self) -> str:
        millis = self._clock() // 1000
        if millis > self._millis:
            self._begin(millis, self._ids)
        while (made := next(ids := self._ids, None)) is None:
            self._begin(0, ids)
        return made

    def _begin(self, millis: int, over: Iterator[str]) -> None:
        """The ids of a later millisecond, unless another thread has begun it."""
        with self._lock:
            if self._ids is over:
                self._millis = max(millis, self._millis + 1)
                head = f"{self._millis:012x}"
                tail = f"{2 << 62 | int.from_bytes(os.urandom(8), 'big') >> 2:016x}"
                self._ids = map(f"{head[:8]}-{head[8:]}-7{{}}-{tail[:4]}-{tail[4:]}".format, self._COUNTS)


@dataclass(frozen=True, slots=True)
class Env:
    """Clock (microseconds since 1970), id maker and random source of one app.

    `clock` is what an embedded store takes for its own time; a server's store has the server's.
    """

    clock: Callable[[], int] = wall_clock
    ids: Callable[[], str] = field(default_factory=Uuid7)
    random: random.Random = field(default_factory=random.Random)
