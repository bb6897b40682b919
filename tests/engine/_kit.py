"""What the tests of the engine share: a worker that runs beside a test, a store that can be told to fail, and ears."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from tidewheel import App, Env, Event, Job, StoreUnavailable
from tidewheel._engine.attempt import Attempt
from tidewheel._engine.worker import Worker
from tidewheel._model.duration import SECOND
from tidewheel._model.job import Claimed, NewJob
from tidewheel._model.outcome import Settlement
from tidewheel._model.query import Accepted, Enqueued, SweepReport
from tidewheel._model.queue import QueueStats
from tidewheel._model.worker import BeatAnswer, LeaseBeat, Wakeup, Want, WorkerInfo
from tidewheel._store.memory import MemoryStore
from tidewheel._task import Task

PATIENCE: Final = 15.0
"""Seconds after which a test gives up waiting: far beyond what anything here takes, for slow machines."""

_POLL: Final = 0.002


async def until(true: Callable[[], object]) -> None:
    """Wait until a condition holds, an awaitable one too. For what nobody can be asked to signal."""
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = true()
            if await answer if inspect.isawaitable(answer) else answer:
                return
            await asyncio.sleep(_POLL)


class FaultyStore(MemoryStore):
    """The memory store, as seen over a bad line.

    `before["claim"].append(error)` makes the next claim fail without effect, `after[...]` the next one do its work and
    then fail, as if the reply had been lost. While an operation is in `away` it always fails. `doors[...]` lets the
    operation wait for an event of the test's loop, `holds[...]` for one of any thread. `calls` counts, `given` keeps what `settle` and `sweep` were given.
    """

    def __init__(self, env: Env | None = None) -> None:
        super().__init__(env or Env())
        self.before: defaultdict[str, list[Exception]] = defaultdict(list)
        self.after: defaultdict[str, list[Exception]] = defaultdict(list)
        self.away: set[str] = set()
        self.doors: dict[str, asyncio.Event] = {}
        self.holds: dict[str, threading.Event] = {}
        self.calls: Counter[str] = Counter()
        self.given: defaultdict[str, list[Any]] = defaultdict(list)
        self.order: list[str] = []

    async def _do(self, name: str, work: Coroutine[Any, Any, Any]) -> Any:
        self.calls[name] += 1
        self.order.append(name)
        try:
            if name in self.holds:
                await asyncio.to_thread(self.holds[name].wait, PATIENCE)
            if name in self.doors:
                await self.doors[name].wait()
            if name in self.away:
                raise StoreUnavailable(f"{name}: nobody answers")
            if self.before[name]:
                raise self.before[name].pop(0)
            answer = await work
            if self.after[name]:
                raise self.after[name].pop(0)
            return answer
        finally:
            work.close()

    async def enqueue(self, jobs: Sequence[NewJob], *, now: int | None = None) -> list[Enqueued]:
        answer: list[Enqueued] = await self._do("enqueue", super().enqueue(jobs, now=now))
        return answer

    async def claim(
        self,
        wants: Sequence[Want],
        *,
        kinds: Sequence[str],
        worker: str,
        lease: int,
        last_life: bool = True,
        now: int | None = None,
    ) -> list[Claimed]:
        self.given["claim"].append(list(wants))
        answer: list[Claimed] = await self._do(
            "claim",
            super().claim(wants, kinds=kinds, worker=worker, lease=lease, last_life=last_life, now=now),
        )
        return answer

    async def beat(
        self, info: WorkerInfo, beats: Sequence[LeaseBeat], *, lease: int, now: int | None = None
    ) -> list[BeatAnswer]:
        answer: list[BeatAnswer] = await self._do("beat", super().beat(info, beats, lease=lease, now=now))
        return answer

    async def settle(self, settlements: Sequence[Settlement], *, now: int | None = None) -> list[Accepted]:
        self.given["settle"].append(list(settlements))
        answer: list[Accepted] = await self._do("settle", super().settle(settlements, now=now))
        return answer

    async def sweep(self, **options: Any) -> SweepReport:
        self.given["sweep"].append(options)
        answer: SweepReport = await self._do("sweep", super().sweep(**options))
        return answer

    async def get(self, ids: Sequence[str]) -> list[Job | None]:
        answer: list[Job | None] = await self._do("get", super().get(ids))
        return answer

    async def queues(self) -> list[QueueStats]:
        answer: list[QueueStats] = await self._do("queues", super().queues())
        return answer

    async def list_all(self) -> list[Job]:
        """Every job, oldest first."""
        return [row.job for row in self._rows.values()]

    def wakeups(self, interest: frozenset[Wakeup] = frozenset(Wakeup)) -> Any:
        self.calls["wakeups"] += 1
        if self.before["wakeups"]:
            raise self.before["wakeups"].pop(0)
        return super().wakeups(interest)


def faulty_app(**options: Any) -> tuple[App, FaultyStore]:
    """An app, and the store it uses, which can be told to fail."""
    app = App("memory://", **options)
    app._store = store = FaultyStore(app.env)
    return app, store


class Ears:
    """Hears the events of an app, in the order they come."""

    def __init__(self, app: App, *names: str) -> None:
        self.heard: list[Event] = []
        self._news = asyncio.Event()
        for name in names:
            app.on(name, self._hear)

    def _hear(self, event: Event) -> None:
        self.heard.append(event)
        self._news.set()

    def names(self) -> list[str]:
        return [event.name for event in self.heard]

    async def next(self, name: str) -> Event:
        """The oldest event of this name that was not asked for yet."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self._news.clear()
                for event in self.heard:
                    if event.name == name:
                        self.heard.remove(event)
                        return event
                await self._news.wait()


@asynccontextmanager
async def running(app: App, *, short_lease: float | None = None, **options: Any) -> AsyncIterator[Worker]:
    """A worker of the app beside the block; at its end it is stopped and must end without an error.

    `short_lease` is one below the least that options take, in seconds.
    """
    ears = Ears(app, "worker.started")
    worker = app.worker(**{"signals": False, "grace": 1, **options})
    if short_lease is not None:
        worker.options = replace(worker.options, lease=round(short_lease * SECOND))
    task = asyncio.create_task(worker.run(), name="worker under test")
    try:
        started = asyncio.create_task(ears.next("worker.started"))
        await asyncio.wait([task, started], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            started.cancel()
            task.result()
        yield worker
    finally:
        worker.stop()
        await asyncio.wait_for(task, PATIENCE)


async def run_all(app: App, **options: Any) -> str:
    """Run a worker until nothing is left to run; gives its reason to leave."""
    worker = app.worker(**{"signals": False, "drain_and_exit": True, **options})
    return await asyncio.wait_for(worker.run(), PATIENCE)


async def row(app: App, job_id: str) -> Job:
    """A job's row; it must be there."""
    job = await app.jobs.info(job_id)
    assert job is not None, f"there is no job {job_id}"
    return job


def claimed(task: Task[..., Any], *args: Any, **changes: Any) -> Claimed:
    """A job of the task as a worker receives it."""
    new = task.job(*args).new
    values = {
        "id": new.id,
        "epoch": 1,
        "kind": new.kind,
        "queue": new.queue,
        "args": new.args,
        "attempt": 1,
        "max_attempts": new.max_attempts,
        "crashes": 0,
        "enqueued_at": task.app.env.clock(),
        "claimed_at": task.app.env.clock(),
        "options": new.options,
        **changes,
    }
    return Claimed(**values)


def attempt_of(task: Task[..., Any], *args: Any, **changes: Any) -> Attempt:
    """An attempt that no worker knows of."""
    return Attempt(claimed(task, *args, **changes), task, task.app.env.clock, lambda: None, lambda: None)


class Blocker:
    """A thread-safe pair of gates for a plain handler: it says that it is inside, and waits to be let out."""

    def __init__(self) -> None:
        self.inside = threading.Event()
        self.leave = threading.Event()

    def __call__(self) -> None:
        self.inside.set()
        assert self.leave.wait(PATIENCE)

    async def entered(self) -> None:
        assert await asyncio.to_thread(self.inside.wait, PATIENCE)
