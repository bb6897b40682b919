"""Fetches jobs for the free slots of one executor.

1. clear the wake-up flag, then look: what comes in between is not lost
2. claim for the free slots, at most half of all: while one half runs, the store fetches the other
3. nothing there: wait for a hint, at most `poll`, jittered
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from tidewheel._engine.isolation import Isolation
from tidewheel._engine.patience import Patience
from tidewheel._engine.settler import Settler
from tidewheel._model.errors import StoreError
from tidewheel._model.job import Claimed
from tidewheel._model.worker import Want
from tidewheel._store.base import Store


class Claimer:
    """The claim loop of one executor. `start` is called for every claimed job, `freed` when a slot is free again."""

    def __init__(
        self,
        store: Store,
        patience: Patience,
        settler: Settler,
        isolation: Isolation,
        random: Random,
        *,
        queues: Sequence[str],
        kinds: Sequence[str],
        slots: int,
        worker: str,
        lease: int,
        poll: int,
        start: Callable[[Claimed], None],
    ) -> None:
        self._store = store
        self._patience = patience
        self._settler = settler
        self._isolation = isolation
        self._random = random
        self._queues = tuple(queues)
        self._kinds = tuple(kinds)
        self.free = slots
        self._most = (slots + 1) // 2
        self._worker = worker
        self._lease = lease
        self._poll = poll / 1_000_000
        self._start = start
        self._wake = asyncio.Event()
        self._stopped = asyncio.Event()
        self.idle = False
        """True after a claim that found nothing, until the next hint."""

    def wake(self) -> None:
        """There may be work."""
        self.idle = False
        self._wake.set()

    def freed(self) -> None:
        """A slot is free again."""
        self.free += 1
        self._wake.set()

    def stop(self) -> None:
        """Claim no more; `run` returns."""
        self._stopped.set()
        self._wake.set()

    async def run(self) -> None:
        """Claim until stopped."""
        while not self._stopped.is_set():
            self._wake.clear()
            if self._settler.full:
                await self._catch_up()
                continue
            try:
                found = await self.run_once() if self.free > 0 else 0
            except StoreError as error:
                if error.retriable and self._stopped.is_set():
                    return  # the store was away when we were told to stop: nothing was claimed
                raise
            if found == 0 and not self._stopped.is_set():
                await self._rest()

    async def run_once(self) -> int:
        """One claim; gives the number of jobs started."""
        queues, count = self._queues, len(self._queues)
        if count > 1:
            first = self._random.randrange(count)
            queues = (*queues[first:], *queues[:first])
        claimed: list[Claimed] = []
        while queues and not claimed and self.free > 0 and not self._stopped.is_set():
            slots = min(self.free, self._most)
            claimed = await self._claim(_shared(slots, queues))
            if 0 < len(claimed) < slots:
                await asyncio.sleep(0)  # the line is at its end: what was found starts before we ask again
            queues = queues[slots:]  # fewer slots than queues: those that could not be asked yet
        self.idle = not claimed
        return len(claimed)

    async def _claim(self, wants: list[Want]) -> list[Claimed]:
        claimed: list[Claimed] = []
        last_life = self._isolation.ask()
        try:
            claimed = await self._patience.insist(
                lambda: self._store.claim(
                    wants, kinds=self._kinds, worker=self._worker, lease=self._lease, last_life=last_life
                ),
                self._stopped.is_set,
            )
        finally:
            if last_life:
                self._isolation.heard(claimed)
        for job in claimed:
            self.free -= 1
            self._start(job)
        return claimed

    async def _catch_up(self) -> None:
        """Wait until the settler has caught up, or for the end: with the store away it may not come before."""
        waits = [asyncio.ensure_future(self._settler.caught_up()), asyncio.ensure_future(self._stopped.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(self._poll * self._random.uniform(0.75, 1.25)):
                await self._wake.wait()
        except TimeoutError:
            pass


def _shared(slots: int, queues: Sequence[str]) -> list[Want]:
    """The slots, shared out among the queues; what does not divide goes to the first ones."""
    share, rest = divmod(slots, len(queues))
    parts = (share + (index < rest) for index in range(len(queues)))
    return [Want(queue, part) for queue, part in zip(queues, parts, strict=True) if part]
