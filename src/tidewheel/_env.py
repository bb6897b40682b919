"""What tests replace: the clock, the ids, the dice. Everything else takes an `Env` and asks it."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
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

    _COUNTS: Final = tuple(f"{count:03x}-" for count in range(1 << 12))

    def __init__(self, clock: Callable[[], int] = wall_clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._millis = -1  # a test clock may start at 0
        self._count = 0
        self._head = ""
        self._tail = ""

    def __call__(self) -> str:
        with self._lock:
            millis = self._clock() // 1000
            if millis > self._millis:
                self._begin(millis)
            elif self._count == len(self._COUNTS):
                self._begin(self._millis + 1)
            count = self._count
            self._count = count + 1
            return self._head + self._COUNTS[count] + self._tail

    def _begin(self, millis: int) -> None:
        head = f"{millis:012x}"
        tail = f"{2 << 62 | int.from_bytes(os.urandom(8), 'big') >> 2:016x}"
        self._millis, self._count = millis, 0
        self._head, self._tail = f"{head[:8]}-{head[8:]}-7", f"{tail[:4]}-{tail[4:]}"


@dataclass(frozen=True, slots=True)
class Env:
    """Clock (microseconds since 1970), id maker and random source of one app.

    `clock` is what an embedded store takes for its own time; a server's store has the server's.
    """

    clock: Callable[[], int] = wall_clock
    ids: Callable[[], str] = field(default_factory=Uuid7)
    random: random.Random = field(default_factory=random.Random)
