"""What tests replace: the clock, the ids, the dice. Everything else takes an `Env` and asks it."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


def wall_clock() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class Uuid7:
    """Ids that sort by the time they were made (RFC 9562, version 7).

    The 74 random bits of a millisecond start at random and are then counted up by small random
    steps (method 2 of section 6.2), so ids of one process are strictly increasing. A clock that
    steps back does not matter: the last millisecond is kept until the clock has caught up.
    """

    def __init__(self, clock: Callable[[], int] = wall_clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._millis = 0
        self._tail = 0

    def __call__(self) -> str:
        with self._lock:
            millis = self._clock() // 1000
            if millis > self._millis:
                self._millis = millis
                self._tail = int.from_bytes(os.urandom(10), "big") >> 7  # 73 bits: room to count up
            else:
                self._tail += 1 + (self._tail & 0xFFFF)
                if self._tail >> 74:
                    self._millis += 1
                    self._tail = int.from_bytes(os.urandom(10), "big") >> 7
            tail = self._tail
            number = self._millis << 80 | 7 << 76 | (tail >> 62) << 64 | 2 << 62 | (tail & (1 << 62) - 1)
        text = f"{number:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@dataclass(frozen=True, slots=True)
class Env:
    """Clock (microseconds since 1970), id maker and random source of one app.

    `clock` is what an embedded store takes for its own time; a server's store has the server's.
    """

    clock: Callable[[], int] = wall_clock
    ids: Callable[[], str] = field(default_factory=Uuid7)
    random: random.Random = field(default_factory=random.Random)
