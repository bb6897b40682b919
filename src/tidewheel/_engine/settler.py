"""Writes outcomes, in batches, and does not give up while the lease may still hold.

While one batch is written the next one gathers, so batches grow with the load and a lone job waits for nobody.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from tidewheel._engine.patience import Patience
from tidewheel._model.errors import StoreError
from tidewheel._model.outcome import Settlement
from tidewheel._model.query import Accepted
from tidewheel._store.base import Store

_BATCH: Final = 500
_log: Final = logging.getLogger("tidewheel")


class Settler:
    """A queue of settlements and the loop that writes them."""

    def __init__(self, store: Store, patience: Patience, lease: int, stale: Callable[[Settlement], None]) -> None:
        self._store = store
        self._patience = patience
        self._lease = lease / 1_000_000
        self._stale = stale
        self._waiting: list[Settlement] = []
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._closing = False

    @property
    def backlog(self) -> int:
        """Settlements not yet written."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """True when claiming should pause until the store has caught up."""
        return len(self._waiting) >= 2 * _BATCH

    def add(self, settlement: Settlement) -> None:
        """Hand over an outcome."""
        self._waiting.append(settlement)
        self._arrived.set()
        self._drained.clear()

    async def caught_up(self) -> None:
        """Wait until nothing is left to write."""
        await self._drained.wait()

    def close(self) -> None:
        """Write what is there, then end `run`."""
        self._closing = True
        self._arrived.set()

    async def run(self) -> None:
        """Write until closed and empty."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
                await self._write(batch)
            self._drained.set()
            if self._closing:
                return

    async def _write(self, batch: list[Settlement]) -> None:
        deadline = time.monotonic() + self._lease

        def too_late() -> bool:
            return time.monotonic() > deadline

        try:
            answers = await self._patience.insist(lambda: self._store.settle(batch), too_late)
        except StoreError as error:
            # Their leases are over: the jobs come back by rescue and run again. At least once, never lost.
            _log.error("%d outcomes could not be written (%s); these jobs will run again.", len(batch), error)
            return
        for settlement, answer in zip(batch, answers, strict=True):
            if answer is Accepted.STALE:
                self._stale(settlement)
