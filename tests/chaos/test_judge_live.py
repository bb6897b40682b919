"""The judge on real stores that break a promise: with their recorder and with their rows he finds what was planted.

Every story is told by calls of the store itself; the lie is a write that a careless store would have taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.chaos._grounds import HERE, Ground
from tests.e2e._history import judge, read, write
from tests.e2e._records import Records, judge_records
from tests.e2e.apps import jobs
from tests.servers._process import NoServer, missing

from tidewheel import App
from tidewheel._model.job import Claimed, Lease
from tidewheel._model.outcome import Complete, Settlement
from tidewheel._model.query import Action
from tidewheel._model.worker import Want
from tidewheel._store.base import Store

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(60)]
SECOND = 1_000_000


class Teller:
    """Does what workers do, and writes the history as job bodies do."""

    def __init__(self, app: App, store: Store, history: Path) -> None:
        self.app = app
        self.store = store
        self._history = history

    async def order(self) -> str:
        (handle,) = await self.app.enqueue_many([self.app.tasks["hop"].job(0.0)])
        self.note("enqueued", job=handle.id)
        return handle.id

    def note(self, what: str, **more: Any) -> None:
        write(self._history, what=what, **more)

    async def claim(self, worker: int = 1, lease: int = 60 * SECOND) -> Claimed:
        (job,) = await self.store.claim([Want("default", 1)], kinds=["hop"], worker=f"w{worker}", lease=lease)
        self.body("start", job, worker)
        return job

    def body(self, what: str, job: Claimed, worker: int = 1) -> None:
        self.note(what, job=job.id, kind="hop", epoch=job.epoch, attempt=job.attempt, worker=worker)

    async def complete(self, job: Claimed, *, epoch: int | None = None) -> None:
        """Record what the body under `job` returned; a careless store would take it under another `epoch`, too."""
        outcome = Complete(f'"{job.id}:{job.epoch}"')
        await self.store.settle([Settlement(Lease(job.id, epoch or job.epoch), outcome)])

    async def taken_away(self, job: Claimed) -> Claimed:
        """The lease of the first worker is over, and another one has the job."""
        self.note("gone", worker=1)
        while not (await self.store.sweep()).rescued:  # noqa: ASYNC110 -- the lease is over in a millisecond
            await asyncio.sleep(0.01)
        return await self.claim(worker=2)


async def honest(story: Teller) -> None:
    await story.order()
    first = await story.claim(lease=1000)
    second = await story.taken_away(first)
    await story.complete(first)  # refused
    story.body("end", second, 2)
    await story.complete(second)


async def lost(story: Teller) -> None:
    story.note("enqueued", job="an answer without a job")


async def removed(story: Teller) -> None:
    id = await story.order()
    await story.store.alter([id], Action.CANCEL)
    await story.store.alter([id], Action.DELETE)


async def unfinished(story: Teller) -> None:
    await story.order()


async def late_write_accepted(story: Teller) -> None:
    await story.order()
    first = await story.claim(lease=1000)
    second = await story.taken_away(first)
    story.body("end", second, 2)
    await story.complete(first, epoch=second.epoch)


async def completed_without_a_run(story: Teller) -> None:
    await story.order()
    await story.complete(await story.claim())


async def completed_twice(story: Teller) -> None:
    id = await story.order()
    for _ in range(2):
        job = await story.claim()
        story.body("end", job)
        await story.complete(job)
        await story.store.alter([id], Action.RETRY)
    await story.store.alter([id], Action.CANCEL)


async def lease_used_twice(story: Teller) -> None:
    await story.order()
    job = await story.claim()
    story.body("start", job, 2)
    story.body("end", job)
    story.body("end", job, 2)
    await story.complete(job)


LIES: list[tuple[Callable[[Teller], Awaitable[None]], set[str]]] = [
    (honest, set()),
    (lost, {"lost"}),
    (removed, {"lost"}),
    (unfinished, {"unfinished"}),
    (late_write_accepted, {"late write accepted"}),
    (completed_without_a_run, {"completed without a run"}),
    (completed_twice, {"completed twice", "changed after its end"}),
    (lease_used_twice, {"lease used twice"}),
]


@pytest.mark.parametrize("store", HERE)
def test_a_lie_is_found(store: str, tmp_path: Path) -> None:
    ground = Ground(store, tmp_path, lease=2.0)
    try:
        ground.start()
        found = asyncio.run(_told(ground, tmp_path))
    except NoServer as error:
        missing(error)
        raise
    finally:
        ground.remove()
    for lie, expected in LIES:
        assert found[lie.__name__] >= expected, lie.__name__
    assert found["honest"] == set()


async def _told(ground: Ground, folder: Path) -> dict[str, set[str]]:
    """Each story on the same store; what is found is told apart by the jobs of its history."""
    found: dict[str, set[str]] = {}
    async with jobs.build(ground.url) as app, ground.watched():
        for lie, _ in LIES:
            history = folder / f"{lie.__name__}.jsonl"
            await lie(Teller(app, await app.opened(), history))
            lines = read(history)
            mine = {line["job"] for line in lines if "job" in line}
            everything = await asyncio.to_thread(ground.recorder.changes)
            verdict = judge(lines, [change for change in everything if change.job in mine], lease=60.0)
            rows = await Records.read(app)
            judge_records(
                verdict, lines, Records((job, rows.attempts[id]) for id, job in rows.rows.items() if id in mine)
            )
            found[lie.__name__] = {promise for promise, _, _ in verdict.findings}
            for id in mine:  # the next story finds an empty line
                await app.jobs.cancel([id])
    return found
