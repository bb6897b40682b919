"""Waiting for jobs to end: one watcher for all waiters of an app, asking for all of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from tidewheel._model.errors import JobNotFound, ResultTimeout, StoreError
from tidewheel._model.job import Job
from tidewheel._model.worker import Wakeup
from tidewheel._store.base import Store

_FIRST_POLL: Final = 0.05
_LONGEST_POLL: Final = 1.0
_AT_ONCE: Final = 1000


class Results:
    """The waiters of one event loop. The watcher runs while there are any."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiters: dict[str, set[asyncio.Future[Job]]] = {}
        self._watcher: asyncio.Task[None] | None = None

    async def ended(self, job_id: str, kind: str, timeout: float | None) -> Job:
        """The job when it has ended; `timeout` in seconds.

        Raises:
            ResultTimeout, JobNotFound, StoreError.
        """
        future: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(job_id, set()).add(future)
        try:
            # It may have ended long ago (to be told so needs no time at all); what ends from now on is hinted.
            await self._look([job_id])
            if not future.done() and (self._watcher is None or self._watcher.done()):
                self._watcher = asyncio.create_task(self._watch(), name="tidewheel results")
            return await self._within(timeout, future, f"The job {job_id} ({kind})")
        finally:
            waiters = self._waiters.get(job_id, set())
            waiters.discard(future)
            if not waiters:
                self._waiters.pop(job_id, None)

    @staticmethod
    async def _within(timeout: float | None, future: asyncio.Future[Job], what: str) -> Job:
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            raise ResultTimeout(f"{what} has not ended within {timeout:g} s; it goes on.") from None

    async def close(self) -> None:
        """End the watcher; whoever still waits is told."""
        if self._watcher is not None and not self._watcher.done():
            self._watcher.cancel()
            with suppress(asyncio.CancelledError):
                await self._watcher
        self._fail(StoreError("The app was closed while waiting for a result."))

    async def _watch(self) -> None:
        """Look until nobody waits any more. Whatever goes wrong goes to the waiters: nobody awaits this task."""
        poll = _FIRST_POLL
        while self._waiters:
            try:
                await self._listen()
            except Exception as error:  # noqa: BLE001 -- as said above
                if not (isinstance(error, StoreError) and error.retriable):
                    self._fail(error)
                    return
                await asyncio.sleep(poll)
                poll = min(poll * 2, _LONGEST_POLL)

    async def _listen(self) -> None:
        async with self._store.wakeups(frozenset({Wakeup.SETTLED})) as hints:
            poll = _FIRST_POLL
            while self._waiters:
                await self._look(tuple(self._waiters))
                if self._waiters:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(poll):
                            await anext(hints)
                    poll = min(poll * 2, _LONGEST_POLL)

    async def _look(self, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            for job_id, job in zip(some, await self._store.get(some), strict=True):
                if job is None or job.state.final:
                    self._answer(job_id, job)

    def _answer(self, job_id: str, job: Job | None) -> None:
        for future in self._waiters.pop(job_id, set()):
            if future.done():
                continue
            if job is None:
                future.set_exception(JobNotFound(f"There is no job {job_id}: it was deleted, or pruned before this."))
            else:
                future.set_result(job)

    def _fail(self, error: Exception) -> None:
        for futures in self._waiters.values():
            for future in futures:
                if not future.done():
                    future.set_exception(error)
        self._waiters.clear()
