"""Waiting for a store that is away: every loop of the engine does it the same way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, TypeVar

from tidewheel._model.errors import StoreError
from tidewheel._telemetry import Telemetry

T = TypeVar("T")
_FIRST: Final = 0.05
_LONGEST: Final = 2.0
_log: Final = logging.getLogger("tidewheel")


class Patience:
    """Repeats a store call while the store is away, says so once, and once when it is back.

    Pauses grow from 50 ms to 2 s and are jittered, so that workers do not come back in step.
    """

    def __init__(self, random: Random, telemetry: Telemetry) -> None:
        self._random = random
        self._telemetry = telemetry
        self._away = False

    async def insist(self, call: Callable[[], Awaitable[T]], give_up: Callable[[], bool] = lambda: False) -> T:
        """The answer of `call`, repeated until it has one, or until `give_up()` says so.

        Raises:
            StoreError: the error that cannot pass by waiting, or the last one when given up.
        """
        pause = _FIRST
        while True:
            try:
                answer = await call()
            except StoreError as error:
                if not error.retriable or give_up():
                    raise
                if not self._away:
                    self._away = True
                    _log.warning("The store is away; trying again until it is back. %s", error)
                    self._telemetry.emit("store.unavailable", error=str(error))
                await asyncio.sleep(pause * self._random.uniform(0.5, 1.5))
                pause = min(pause * 2, _LONGEST)
            else:
                if self._away:
                    self._away = False
                    _log.info("The store is back.")
                    self._telemetry.emit("store.back")
                return answer
