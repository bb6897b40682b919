"""Waiting for a store that is away: every loop of the engine does it the same way."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Final, TypeVar

from tidewheel._model.duration import SECOND, human
from tidewheel._model.errors import StoreError
from tidewheel._telemetry import Telemetry

T = TypeVar("T")
_FIRST: Final = 0.05
_LONGEST: Final = 2.0
_log: Final = logging.getLogger("tidewheel")


class Patience:
    """Repeats a store call while the store is away, says so once, and once when it is back for everybody.

    Pauses grow from 50 ms to 2 s and are jittered, so that workers do not come back in step.
    """

    def __init__(self, random: Random, telemetry: Telemetry) -> None:
        self._random = random
        self._telemetry = telemetry
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._waiting = 0
        """Calls that wait for the store. The keeper's thread has some, too."""

    async def insist(
        self,
        call: Callable[[], Awaitable[T]],
        give_up: Callable[[], bool] = lambda: False,
        *,
        at_most: int | None = None,
    ) -> T:
        """The answer of `call`, repeated until it has one, or until `give_up()` says so or `at_most` microseconds are over.

        Raises:
            StoreError: the error that cannot pass by waiting, or the last one when given up.
        """
        pause, waiting, back = _FIRST, False, False
        clock = asyncio.get_running_loop().time
        end = math.inf if at_most is None else clock() + at_most / SECOND
        try:
            while True:
                try:
                    answer = await call()
                except StoreError as error:
                    if not error.retriable or give_up() or clock() >= end:
                        raise
                    if not waiting:
                        waiting = True
                        self._waits(error, at_most)
                    await asyncio.sleep(min(pause * self._random.uniform(0.5, 1.5), end - clock()))
                    pause = min(pause * 2, _LONGEST)
                else:
                    back = True
                    return answer
        finally:
            if waiting:
                self._waits_no_more(back=back)

    async def calm(self) -> None:
        """Wait until no call waits for the store any more."""
        while self._waiting:  # noqa: ASYNC110 -- other threads count, too; and this is looked at in an outage only
            await asyncio.sleep(_FIRST)

    def _waits(self, error: StoreError, at_most: int | None) -> None:
        with self._lock:
            self._waiting += 1
            first = self._waiting == 1
        if first:
            limit = "" if at_most is None else f", for {human(at_most)} at most"
            _log.warning("The store is away; trying again until it is back%s. %s", limit, error)
            self._tell("store.unavailable", error=str(error))

    def _waits_no_more(self, *, back: bool) -> None:
        with self._lock:
            self._waiting -= 1
            last = self._waiting == 0
        if last and back:
            _log.info("The store is back.")
            self._tell("store.back")

    def _tell(self, name: str, **data: str) -> None:
        """Listeners are called in the worker's loop, whoever noticed it."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(lambda: self._telemetry.emit(name, **data))
