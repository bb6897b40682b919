"""Jobs of a key start one after the other, also when their workers are killed and the one whose turn it is is cancelled."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from tests.e2e._crowds import crowds
from tests.e2e._harness import PATIENCE, Site, WorkerProcess
from tests.e2e.apps import ordered

from tidewheel import App, Job, JobHandle, JobState

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]

KEYS = ("acme", "bobs", "cleo")
JOBS = 12
"""Of each key and task."""
KILLS = 4


async def test_killed_workers_and_a_cancelled_job_leave_the_order_as_it_is(site: Site, url: str) -> None:
    chance = random.Random(11)
    async with ordered.build(url) as app:
        lines = await add(app, chance)
        stuck = await app.tasks["block"].enqueue("dora", 60.0, fails=False)
        after = [await app.tasks["block"].enqueue("dora", 0.0, fails=False) for _ in range(2)]
        workers = [start(site, url) for _ in range(3)]
        for worker in workers:
            await worker.ready()
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0.05, 0.2))
            # The body that never ends does not count.
            victim = await site.kill_at_work(workers, lambda line: line.get("account") != "dora")
            workers[victim] = start(site, url)
        assert (await after[0].why()).code == "order"
        assert await stuck.cancel()
        for handle in after:
            await handle.result(PATIENCE)
        stories = [[await story(app, handle) for handle in line] for line in lines.values()]
        for worker in workers:
            await worker.ready()
            assert await worker.stop() == 0

        assert crowds(site.lines(), lambda line: f"{line['kind']} {line['account']}") == []
        assert any(one.job.crashes for stories in stories for one in stories)
        for line in stories:
            assert {one.job.state for one in line} == {JobState.COMPLETED}
            assert [one.job.id for one in sorted(line, key=lambda one: one.began)] == [one.job.id for one in line]
            if line[0].job.kind == "block":
                assert all(second.began >= (first.job.finished_at or 0) for first, second in pairwise(line))
        gates = [gate for name in ("block", "skip") for gate in await app.limits.gates(f"{name}.concurrency.account")]
        assert [gate for gate in gates if gate.used or gate.waiting or gate.holder] == []


async def add(app: App, chance: random.Random) -> dict[tuple[str, str], list[JobHandle[Any]]]:
    """The jobs of each task and key, in the order of their line."""
    places = [(kind, key) for kind in ("block", "skip") for key in KEYS for _ in range(JOBS)]
    chance.shuffle(places)
    handles = await app.enqueue_many(
        app.tasks[kind].job(key, chance.uniform(0.02, 0.1), fails=chance.random() < 0.2) for kind, key in places
    )
    lines: dict[tuple[str, str], list[JobHandle[Any]]] = {}
    for place, handle in zip(places, handles, strict=True):
        lines.setdefault(place, []).append(handle)
    return lines


class Story(NamedTuple):
    """A job, and when its first attempt began by the store's clock."""

    job: Job
    began: int


async def story(app: App, handle: JobHandle[Any]) -> Story:
    job = await app.ended(handle.id, handle.kind, PATIENCE)
    attempts = (await handle.history()).attempts
    return Story(job, min([job.started_at or 0, *(one.started_at for one in attempts)]))


def start(site: Site, url: str) -> WorkerProcess:
    words = ["-m", "tidewheel", "worker", "tests.e2e.apps.ordered:app", "--lease", "1s", "--concurrency", "8"]
    return site.start(words, url=url)
