"""Keeps leases alive, from a thread of its own, so that a handler that blocks the event loop keeps its jobs.

1. every third of a lease: extend all leases, say that the worker lives
2. sooner, when a handler reported progress or logged (at most 4 times a second), or a cancel was hinted
3. pass on what the store answers: cancel requests and lost leases
4. watch the event loop: one that does not answer for a second is blocked, and the blocking task is named;
   what a claim brought that the blocked loop has not heard of yet is looked up, and these leases are extended, too
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from tidewheel._engine.attempt import Attempt
from tidewheel._engine.patience import Patience
from tidewheel._model.job import Lease
from tidewheel._model.query import JobFilter, Page
from tidewheel._model.state import JobState
from tidewheel._model.worker import BeatAnswer, LeaseBeat, WorkerInfo
from tidewheel._store.base import MAX_BATCH, Store

_NEWS: Final = 0.25
_LAG: Final = 1.0
_log: Final = logging.getLogger("tidewheel")


class Keeper:
    """The beat of one worker. `attempts` gives the attempts under way; `told` hears the store's answers in the
    worker's loop.
    """

    def __init__(
        self,
        store: Store,
        patience: Patience,
        *,
        info: Callable[[], WorkerInfo],
        attempts: Callable[[], list[Attempt]],
        told: Callable[[Attempt, BeatAnswer], None],
        lagging: Callable[[float, str], None],
        lease: int,
    ) -> None:
        self._store = store
        self._patience = patience
        self._info = info
        self._attempts = attempts
        self._told = told
        self._lagging = lagging
        self._lease = lease
        self._main = asyncio.get_running_loop()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._news = False
        self._blocked = False
        self._stopping = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="tidewheel-keeper", daemon=True)
        self._ready: asyncio.Future[None] = self._main.create_future()
        self.failed: asyncio.Future[None] = self._main.create_future()
        """Gets the error that ended the thread."""

    async def start(self, stopped: asyncio.Event) -> None:
        """Start beating; returns when the store knows the worker, or when that is not wanted any more.

        Raises:
            StoreError: the first beat failed for good.
        """
        self._thread.start()
        stop = asyncio.ensure_future(stopped.wait())
        waits: list[asyncio.Future[Any]] = [self._ready, stop]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
        if self._ready.done():
            self._ready.result()

    async def stop(self) -> None:
        """Stop beating."""
        self._stopping = True
        self.hurry()
        await asyncio.to_thread(self._thread.join)
        self._ready.cancel()
        self.failed.cancel()

    def news(self) -> None:
        """A handler has something to say; any thread may call this, often."""
        if not self._news:
            self._news = True
            self.hurry()

    def hurry(self) -> None:
        """Beat soon: a cancel was hinted. Any thread may call this."""
        loop, wake = self._loop, self._wake
        if loop is not None and wake is not None:
            with contextlib.suppress(RuntimeError):  # it has stopped
                loop.call_soon_threadsafe(wake.set)

    async def _run(self) -> None:
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        store, ready = self._store.sibling(), False
        lag = asyncio.create_task(self._watch_lag())
        try:
            if store is not self._store:
                await self._patience.insist(store.open, lambda: self._stopping)
            await self._beat_all(store)
            ready = True
            self._main.call_soon_threadsafe(self._report, self._ready, None)
            while not self._stopping:
                await self._rest()
                if not self._stopping:
                    await self._beat_all(store)
        except BaseException as error:  # noqa: BLE001 -- reported where somebody can do something about it
            if not self._stopping:
                _log.critical("The keeper stopped (%r): leases are not extended any more.", error)
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    self._main.call_soon_threadsafe(self._report, self.failed if ready else self._ready, error)
        finally:
            lag.cancel()
            if store is not self._store:
                await store.close()

    @staticmethod
    def _report(to: asyncio.Future[None], error: BaseException | None) -> None:
        if to.done():
            return
        if error is None:
            to.set_result(None)
        else:
            to.set_exception(error)

    async def _rest(self) -> None:
        assert self._wake is not None  # noqa: S101 -- set before
        try:
            async with asyncio.timeout(self._lease / 3_000_000):
                await self._wake.wait()
        except TimeoutError:
            return
        await asyncio.sleep(_NEWS if self._news else 0)
        self._wake.clear()

    async def _beat_all(self, store: Any) -> None:
        self._news = False  # before the look
        attempts = self._attempts()
        unheard = await self._unheard(store, attempts) if self._blocked else []
        for start in range(0, max(1, len(attempts)), MAX_BATCH):
            await self._beat(store, attempts[start : start + MAX_BATCH], unheard)
            unheard = []

    async def _unheard(self, store: Any, attempts: list[Attempt]) -> list[LeaseBeat]:
        """The leases of a claim whose answer waits for the blocked loop."""
        known = {one.claimed.lease for one in attempts}
        ours = self._info().id
        running = JobFilter(states=(JobState.RUNNING,))
        page: Page = await self._patience.insist(lambda: store.list(running, limit=1000), lambda: self._stopping)
        leases = [Lease(job.id, job.epoch) for job in page.jobs if job.worker == ours]
        return [LeaseBeat(lease) for lease in leases if lease not in known]

    async def _beat(self, store: Any, attempts: list[Attempt], unheard: list[LeaseBeat]) -> None:
        beats = [LeaseBeat(one.claimed.lease, *one.context.borrow_news()) for one in attempts]
        try:
            answers = await self._patience.insist(
                lambda: store.beat(self._info(), [*beats, *unheard], lease=self._lease), lambda: self._stopping
            )
        except BaseException:
            for one, beat in zip(attempts, beats, strict=True):
                one.context.give_back(beat.progress, beat.logs)
            raise
        finally:
            for one in attempts:
                one.context.return_news()
        for one, answer in zip(attempts, answers, strict=False):  # those behind are of leases nobody has begun
            if answer is not BeatAnswer.EXTENDED:
                self._main.call_soon_threadsafe(self._told, one, answer)

    async def _watch_lag(self) -> None:
        every = min(_LAG, self._lease / 4_000_000)
        while True:
            answered = threading.Event()
            asked = time.monotonic()
            try:
                self._main.call_soon_threadsafe(answered.set)
                await asyncio.sleep(every)
                if not answered.is_set():
                    name, self._blocked = self._blocking(), True
                    self.hurry()
                    while not answered.is_set() and not self._main.is_closed():
                        await asyncio.to_thread(answered.wait, _LAG)
                    self._blocked = False
                    lag = time.monotonic() - asked
                    if lag >= _LAG:
                        self._main.call_soon_threadsafe(self._lagging, lag, name)
            except RuntimeError:  # the loop was closed under us: nobody is left who could end these jobs, so let go
                self._stopping = True
                self.hurry()
                return

    def _blocking(self) -> str:
        """The task that holds the event loop right now."""
        running = asyncio.current_task(self._main)
        for one in self._attempts():
            if one.handle is running and running is not None:
                return f"{one.kind} {one.claimed.id}"
        return "no job" if running is None else running.get_name()
