"""Fetches jobs for the free slots of one executor.

1. clear the wake-up flag, then look: what comes in between is not lost
2. claim for the free slots, at most half of all: while one half runs, the store fetches the other
3. nothing there: wait for a hint, at most `poll`, jittered
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from tidewheel._engine.patience import Patience
from tidewheel._engine.settler import Settler
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
        self._stopping = False
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
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Claim until stopped."""
        while not self._stopping:
            self._wake.clear()
            if self._settler.full:
                await self._settler.caught_up()
            wanted = self.free
            found = await self.run_once() if wanted > 0 else 0
            if found == 0 and not self._stopping:
                await self._rest()

    async def run_once(self) -> int:
        """One claim; gives the number of jobs started."""
        wants = self._wants()
        claimed = await self._patience.insist(
            lambda: self._store.claim(wants, kinds=self._kinds, worker=self._worker, lease=self._lease),
            lambda: self._stopping,
        )
        for job in claimed:
            self.free -= 1
            self._start(job)
        self.idle = not claimed
        return len(claimed)

    def _wants(self) -> list[Want]:
        """The free slots, shared out among the queues; the rest goes to one queue, another each time."""
        slots, count = min(self.free, self._most), len(self._queues)
        if count == 1:
            return [Want(self._queues[0], slots)]
        share, rest = divmod(slots, count)
        lucky = self._random.randrange(count)
        wants = []
        for index, queue in enumerate(self._queues):
            part = share + (rest if index == lucky else 0)
            if part:
                wants.append(Want(queue, part))
        return wants

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(self._poll * self._random.uniform(0.75, 1.25)):
                await self._wake.wait()
        except TimeoutError:
            pass
