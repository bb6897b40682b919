"""Writes outcomes, in batches, and does not give up while the worker lives.

While one batch is written the next one gathers, so batches grow with the load and a lone job waits for nobody.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from tidewheel._engine.patience import Patience
from tidewheel._model.outcome import Settlement
from tidewheel._model.query import Accepted
from tidewheel._store.base import Store

_BATCH: Final = 500
_log: Final = logging.getLogger("tidewheel")


class Settler:
    """A queue of settlements and the loop that writes them."""

    def __init__(
        self,
        store: Store,
        patience: Patience,
        lease: int,
        *,
        stale: Callable[[Settlement], None],
        hurried: Callable[[], bool],
    ) -> None:
        self._store = store
        self._patience = patience
        self._lease = lease / 1_000_000
        self._stale = stale
        self._hurried = hurried
        self._waiting: list[Settlement] = []
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._deadline: float | None = None
        """Set when closing: from then on a store that stays away is not waited for."""

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
        """Write what is there, for at most one lease time when the store is away, then end `run`."""
        self._deadline = time.monotonic() + self._lease
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
            if self._deadline is not None:
                return

    def _give_up(self) -> bool:
        # While the worker lives it waits as long as it takes: a lease that is over but not yet taken by anybody
        # still settles, and one that was taken is answered as stale.
        return self._deadline is not None and (self._hurried() or time.monotonic() > self._deadline)

    async def _write(self, batch: list[Settlement]) -> None:
        errors = [await self._try(batch)]
        if len(batch) > 1 and errors[0] is not None and not getattr(errors[0], "retriable", False):
            # One of them cannot be written: its neighbours must not suffer.
            errors = [await self._try([one]) for one in batch]
        failed = [error for error in errors if error is not None]
        if failed:
            # Their leases will be over: the jobs come back by rescue and run again. At least once, never lost.
            count = len(batch) if len(errors) == 1 else len(failed)
            _log.error("%d outcomes could not be written (%r); these jobs will run again.", count, failed[0])

    async def _try(self, batch: list[Settlement]) -> Exception | None:
        try:
            answers = await self._patience.insist(lambda: self._store.settle(batch), self._give_up)
        except Exception as error:  # noqa: BLE001 -- whatever one outcome does to the store, the next ones count
            return error
        for settlement, answer in zip(batch, answers, strict=True):
            if answer is Accepted.STALE:
                self._stale(settlement)
        return None
