"""Callers and workers on one namespace who try again whenever the store is away, and what they were promised."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import Self, TypeVar

from tidewheel._model.duration import SECOND
from tidewheel._model.errors import StoreError
from tidewheel._model.job import Lease, NewJob
from tidewheel._model.outcome import Complete, Settlement
from tidewheel._model.query import Accepted
from tidewheel._model.state import JobState
from tidewheel._model.worker import Want
from tidewheel._store.redis import RedisStore

T = TypeVar("T")
_LEASE = SECOND
_PAUSE = 0.01


class Load:
    """Small batches in, small batches out. The leases are short: what a lost answer took comes back in a second."""

    def __init__(self, url: str, *, callers: int = 2, workers: int = 3) -> None:
        self._url = url
        self._sizes = callers, workers
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._numbers = count()
        self.taken: list[str] = []
        """Ids of the jobs whose enqueue was answered."""
        self.leases: dict[Lease, int] = defaultdict(int)
        """How often each lease was given out."""
        self.accepted: dict[str, set[int]] = defaultdict(set)
        """The epochs of the settlements that were accepted, by job."""
        self.refusals: list[str] = []
        """What the store said when it was away."""

    async def __aenter__(self) -> Self:
        await self._opened(self._store())
        callers, workers = self._sizes
        jobs = [self._calls] * callers + [self._works] * workers + [self._sweeps]
        self._tasks = [asyncio.create_task(self._with_store(one)) for one in jobs]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _store(self) -> RedisStore:
        return RedisStore(self._url)

    async def _opened(self, store: RedisStore) -> None:
        await self._patiently(store.open)
        await store.close()

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await ask()
            except StoreError as error:
                if not error.retriable:
                    raise
                self.refusals.append(str(error))
                await asyncio.sleep(_PAUSE)

    async def _with_store(self, what: Callable[[RedisStore], Awaitable[None]]) -> None:
        store = self._store()
        await self._patiently(store.open)
        try:
            await what(store)
        finally:
            await store.close()

    async def _calls(self, store: RedisStore) -> None:
        while not self._stop.is_set():
            ids = [f"j{next(self._numbers)}" for _ in range(3)]
            jobs = [NewJob(id=id, kind="work", args="{}", max_attempts=99, max_crashes=99) for id in ids]
            await self._patiently(lambda jobs=jobs: store.enqueue(jobs))  # type: ignore[misc]
            self.taken += ids
            await asyncio.sleep(0.002)

    async def _works(self, store: RedisStore) -> None:
        wants = [Want("default", 5)]
        while True:
            held = await self._patiently(lambda: store.claim(wants, kinds=["work"], worker="w", lease=_LEASE))
            for job in held:
                self.leases[job.lease] += 1
            ends = [Settlement(job.lease, Complete('"done"')) for job in held]
            for job, answer in zip(held, await self._patiently(lambda ends=ends: store.settle(ends)), strict=True):  # type: ignore[misc]
                if answer is Accepted.ACCEPTED:
                    self.accepted[job.id].add(job.epoch)
            await asyncio.sleep(0 if held else _PAUSE)

    async def _sweeps(self, store: RedisStore) -> None:
        while True:
            await self._patiently(store.sweep)
            await asyncio.sleep(0.1)

    async def served(self, more: int = 50) -> None:
        """Until so many more jobs were taken and ended."""
        taken, ended = len(self.taken) + more, len(self.accepted) + more
        async with asyncio.timeout(30):
            while len(self.taken) < taken or len(self.accepted) < ended:
                self._look()
                await asyncio.sleep(_PAUSE)

    def _look(self) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    async def finish(self) -> None:
        """No more jobs; until all that were taken have ended."""
        self._stop.set()
        store = self._store()
        with suppress(TimeoutError):
            async with asyncio.timeout(20):
                while await self._missing(store):
                    self._look()
                    await asyncio.sleep(0.05)
        await store.close()

    async def _missing(self, store: RedisStore) -> dict[str, str]:
        await self._patiently(store.open)
        found: dict[str, str] = {}
        for first in range(0, len(self.taken), 1000):
            some = self.taken[first : first + 1000]
            rows = await self._patiently(lambda some=some: store.get(some))  # type: ignore[misc]
            states = {id: "gone" if row is None else str(row.state) for id, row in zip(some, rows, strict=True)}
            found |= {id: state for id, state in states.items() if state != JobState.COMPLETED}
        return found

    async def lost(self) -> dict[str, str]:
        """Jobs that were taken and have not completed, and what became of them."""
        store = self._store()
        try:
            return await self._missing(store)
        finally:
            await store.close()

    @property
    def doubled(self) -> list[Lease]:
        """Leases that two workers were given."""
        return [lease for lease, times in self.leases.items() if times > 1]

    @property
    def completed_twice(self) -> list[str]:
        """Jobs of which two attempts were accepted as their end."""
        return [id for id, epochs in self.accepted.items() if len(epochs) > 1]
