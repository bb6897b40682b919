"""Promotes what is due, rescues what was lost, prunes what is old: at the next due time, and now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from tidewheel._engine.patience import Patience
from tidewheel._model.errors import StoreError, StoreFull
from tidewheel._model.query import SweepReport
from tidewheel._model.retention import RetentionRule
from tidewheel._store.base import Store

_EVERY: Final = 5.0
"""Seconds between sweeps when nothing is due, before jitter; other workers sweep, too."""
_PRUNE_EVERY: Final = 3
"""Every so many regular sweeps finished jobs are pruned by rule."""


_AFTER_OUTAGE: Final = 5.0
"""Seconds for other workers to tell a store that is back of leases and outcomes, before it is swept; more than the
pauses of `Patience`."""


class Sweeper:
    """The sweep loop of one worker."""

    def __init__(
        self,
        store: Store,
        patience: Patience,
        random: Random,
        rules: Callable[[], Sequence[RetentionRule]],
        lease: int,
    ) -> None:
        self._store = store
        self._patience = patience
        self._random = random
        self._rules = rules
        self._gone_after = 3 * lease
        self._wake = asyncio.Event()
        self._regular = 0

    def wake(self) -> None:
        """A job was scheduled: the next due time may have moved forward."""
        self._wake.set()

    async def run(self) -> None:
        """Sweep until cancelled."""
        regular, prune = True, True
        while True:
            self._wake.clear()
            report = await self.run_once(prune=prune)
            self._regular += regular
            regular = await self._rest(report)
            # Pruning goes on for as long as there is more, or it would fall behind a worker that is busy.
            prune = (prune and report.more) or (regular and self._regular % _PRUNE_EVERY == 0)

    async def run_once(self, *, prune: bool) -> SweepReport:
        """One sweep, with or without pruning by rule."""
        rules = self._rules() if prune else ()
        while True:
            try:
                return await self._store.sweep(retention=rules, worker_gone_after=self._gone_after)
            except StoreError as error:
                if not error.retriable:
                    raise
                # Leases ended while the store was away. Whoever comes first when it is back, it must not be us, or
                # jobs whose outcomes only wait to be written would run again. (A full one we may have to prune.)
                if not isinstance(error, StoreFull):
                    await self._patience.calm()
            await asyncio.sleep(_AFTER_OUTAGE)

    async def _rest(self, report: SweepReport) -> bool:
        """Sleep until there is something to do; True when that is a regular sweep."""
        if report.more:
            return False
        # Jitter keeps the sweeps of many workers spread out (their rate stays constant).
        pause, regular = _EVERY * self._random.uniform(0.5, 1.5), True
        if report.next_due_at is not None:
            due = max(0.0, (report.next_due_at - report.now) / 1_000_000)
            if due < pause:
                pause, regular = due + self._random.uniform(0, 0.01), False
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
        except TimeoutError:
            return regular
        return False
