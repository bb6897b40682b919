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
            async with asyncio.timeout(timeout):
                await self._look([job_id])  # it may have ended long ago; what ends from now on is hinted
                if not future.done() and (self._watcher is None or self._watcher.done()):
                    self._watcher = asyncio.create_task(self._watch(), name="tidewheel results")
                return await future
        except TimeoutError:
            raise ResultTimeout(f"The job {job_id} ({kind}) has not ended within {timeout:g} s; it goes on.") from None
        finally:
            waiters = self._waiters.get(job_id, set())
            waiters.discard(future)
            if not waiters:
                self._waiters.pop(job_id, None)

    async def close(self) -> None:
        """End the watcher; whoever still waits is told."""
        if self._watcher is not None:
            self._watcher.cancel()
            with suppress(asyncio.CancelledError):
                await self._watcher
        for futures in self._waiters.values():
            for future in futures:
                if not future.done():
                    future.set_exception(StoreError("The app was closed while waiting for a result."))

    async def _watch(self) -> None:
        async with self._store.wakeups(frozenset({Wakeup.SETTLED})) as hints:
            poll = _FIRST_POLL
            while self._waiters:
                try:
                    await self._look(tuple(self._waiters))
                except StoreError as error:
                    if not error.retriable:
                        self._fail(error)
                        return
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

    def _fail(self, error: StoreError) -> None:
        for futures in self._waiters.values():
            for future in futures:
                if not future.done():
                    future.set_exception(error)
        self._waiters.clear()
