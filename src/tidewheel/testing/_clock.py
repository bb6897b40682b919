"""An `Env` in which nothing happens by chance."""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime
from typing import Final

from tidewheel._env import Env
from tidewheel._model.duration import SECOND, Span, micros

START: Final = int(datetime(2026, 1, 15, 12, tzinfo=UTC).timestamp()) * SECOND
"""Where a `FakeClock` starts: noon of 15 January 2026, UTC."""


class FakeClock:
    """A clock for `Env` that moves only when told to. Calling it gives microseconds since 1970.

    >>> clock = FakeClock()
    >>> before = clock()
    >>> clock.advance("10s") - before
    10000000
    """

    def __init__(self, at: int | datetime = START) -> None:
        self._lock = threading.Lock()
        self._now = _instant(at)

    def __call__(self) -> int:
        """The time, in microseconds since 1970."""
        return self._now

    def advance(self, span: Span) -> int:
        """Move forward by `span` (seconds, a `timedelta`, or text such as "10s"); gives the new time.

        Raises:
            ValueError: `span` is no duration, or a negative one; use `set` to go back.
        """
        with self._lock:
            self._now += micros(span)
            return self._now

    def set(self, at: int | datetime) -> None:
        """Put the clock at `at` (microseconds since 1970, or a datetime with a time zone), forward or back.

        Raises:
            ValueError: a datetime without a time zone.
        """
        with self._lock:
            self._now = _instant(at)


def _instant(at: int | datetime) -> int:
    if isinstance(at, int):
        return at
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no time zone, so it is no moment. Write datetime(..., tzinfo=UTC).")
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds


class CountingIds:
    """An id maker for `Env`: `job-000001`, `job-000002`, ..."""

    def __init__(self, prefix: str = "job-") -> None:
        self._prefix = prefix
        self._lock = threading.Lock()
        self._count = 0

    def __call__(self) -> str:
        with self._lock:
            self._count += 1
            return f"{self._prefix}{self._count:06}"


def fake_env(clock: FakeClock | None = None, *, ids: str = "job-", seed: int = 0) -> Env:
    """An `Env` with a clock that stands still, ids that count, and dice that always fall the same way."""
    dice = random.Random(seed)
    return Env(clock=clock or FakeClock(), ids=CountingIds(ids), random=dice)
