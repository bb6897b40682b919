"""Fetches jobs for the free slots of one executor.

1. clear the wake-up flag, then look: what comes in between is not lost
2. claim for the free slots, at most half of all: while one half runs, the store fetches the other.
   The queues share them (`shares`), and no kind gets more than its worker may run (`kinds`).
   As long as slots are left, whoever may have more is asked again
3. nothing there: wait for a hint, at most `poll`, jittered
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from tidewheel._engine.isolation import Isolation
from tidewheel._engine.kinds import Kinds
from tidewheel._engine.patience import Patience
from tidewheel._engine.settler import Settler
from tidewheel._engine.shares import Shares, remaining
from tidewheel._engine.slots import Slots
from tidewheel._model.errors import StoreError
from tidewheel._model.job import Claimed
from tidewheel._model.worker import Want
from tidewheel._store.base import Store


class Claimer:
    """The claim loop of one executor. `start` is called for every claimed job, `freed` when a slot is free again.

    For jobs that are run in batches (`collector`) its slots are the room in their worker's hands, and it claims up to
    `at_once` jobs while a batch could begin (`ready`); it says when it has `looked`, and when that found all there was
    (`no_more`).
    """

    def __init__(
        self,
        store: Store,
        patience: Patience,
        settler: Settler,
        isolation: Isolation,
        random: Random,
        *,
        shares: Shares,
        kinds: Kinds,
        slots: int | Slots,
        worker: str,
        lease: int,
        poll: int,
        start: Callable[[Claimed], None],
        at_once: int | None = None,
        ready: Callable[[], bool] = lambda: True,
        looked: Callable[[], None] = lambda: None,
        no_more: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._patience = patience
        self._settler = settler
        self._isolation = isolation
        self._random = random
        self._shares = shares
        self._kinds = kinds
        self._slots = Slots(slots) if isinstance(slots, int) else slots
        self._slots.tell_claimer = self.look
        self._most = (self._slots.all + 1) // 2 if at_once is None else at_once
        self._ready = ready
        self._looked = looked
        self._no_more = no_more
        self._worker = worker
        self._lease = lease
        self._poll = poll / 1_000_000
        self._start = start
        self._wake = asyncio.Event()
        self._stopped = asyncio.Event()
        self.idle = False
        """True after a claim that found nothing, until the next hint."""

    @property
    def free(self) -> int:
        """Slots that are free."""
        return self._slots.free

    def wake(self) -> None:
        """There may be work."""
        self.idle = False
        self._wake.set()

    def look(self) -> None:
        """There may be room: look again."""
        self._wake.set()

    def freed(self, kind: str) -> None:
        """A slot is free again, an attempt at a job of this kind is over."""
        self._kinds.freed(kind)
        self._slots.give_back()

    def pause(self, kinds: frozenset[str]) -> None:
        """Ask for these no more, and for those again that are not among them now."""
        self._kinds.paused = kinds
        self.wake()

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
                found = await self.run_once() if self._slots.open > 0 and self._ready() else 0
            except StoreError as error:
                if error.retriable and self._stopped.is_set():
                    return  # the store was away when we were told to stop: nothing was claimed
                raise
            finally:
                self._looked()
            if found == 0 and not self._stopped.is_set():
                await self._rest()

    async def run_once(self) -> int:
        """One round of claims; gives the number of jobs started."""
        slots = left = min(self._slots.open, self._most)
        self._slots.ask(slots)
        try:
            for line in self._shares.lines:
                left -= await self._fill(line, left)
                if not left:
                    break
        finally:
            self._slots.ask(0)
        self.idle = left == slots
        if left:
            self._no_more()
        return slots - left

    async def _fill(self, line: Sequence[str], slots: int) -> int:
        """Claim until the slots are filled or the queues of a line have no more."""
        left, kinds = slots, self._kinds.open(self._kinds.all)
        while left and line and kinds:
            left, line, kinds = await self._pass(left, line, kinds)
        return slots - left

    async def _pass(
        self, left: int, line: Sequence[str], kinds: Sequence[str]
    ) -> tuple[int, Sequence[str], Sequence[str]]:
        """Claim for all kinds, then without those that have less room than there are slots.

        Gives the slots still left, and what to ask for them: the queues and the kinds of which there may be more.
        """
        aside: list[str] = []
        their_line: Sequence[str] = ()
        while left and line and kinds and not self._stopped.is_set():
            most, tight = self._kinds.step(kinds, left)
            line, came = await self._ask(line, kinds, most)
            left -= came
            if tight:
                their_line = their_line if aside else line
                aside += tight
                kinds = [kind for kind in kinds if kind not in tight]
        return left, their_line, self._kinds.open(aside)

    async def _ask(self, line: Sequence[str], kinds: Sequence[str], slots: int) -> tuple[Sequence[str], int]:
        """One claim; gives the queues of the line that may have more, and the number of jobs started."""
        wants = self._shares.deal(slots, line)
        claimed = await self._claim(wants, kinds)
        if len(claimed) == slots:
            return line, slots
        if claimed:
            await asyncio.sleep(0)  # the line is at its end: what was found starts before we ask again
        return remaining(line, wants, claimed), len(claimed)

    async def _claim(self, wants: Sequence[Want], kinds: Sequence[str]) -> list[Claimed]:
        claimed: list[Claimed] = []
        last_life = self._isolation.ask()
        try:
            claimed = await self._patience.insist(
                lambda: self._store.claim(
                    wants, kinds=kinds, worker=self._worker, lease=self._lease, last_life=last_life
                ),
                self._stopped.is_set,
            )
        finally:
            if last_life:
                self._isolation.heard(claimed)
        self._kinds.took(job.kind for job in claimed)
        for job in claimed:
            self._slots.take()
            self._start(job)
        return claimed

    async def _catch_up(self) -> None:
        """Wait until the settler has caught up, or for the end: with the store away it may not come before."""
        waits = [asyncio.ensure_future(self._settler.caught_up()), asyncio.ensure_future(self._stopped.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _rest(self) -> None:
        poll = asyncio.get_running_loop().call_later(self._poll * self._random.uniform(0.75, 1.25), self._wake.set)
        try:
            await self._wake.wait()
        finally:
            poll.cancel()
