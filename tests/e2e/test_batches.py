"""Batch handlers in workers that are killed: no job is lost, none is completed twice, and each ends by itself."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from tests.e2e._harness import Site, WorkerProcess, all_ended
from tests.e2e.apps import batched

from tidewheel import App, JobHandle, JobState

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]

JOBS = 150
KILLS = 8


def start(site: Site) -> WorkerProcess:
    words = ["-m", "tidewheel", "worker", "tests.e2e.apps.batched:app", "--lease", "1s", "--concurrency", "3"]
    return site.start([*words, "--threads", "2"])


async def add(site: Site, app: App, dice: random.Random) -> list[JobHandle[Any]]:
    handles: list[JobHandle[Any]] = []
    for kind in ("pack", "load", "hop"):
        handles += await site.add(app, kind, *[(dice.uniform(0, 0.2),) for _ in range(JOBS)])
    return handles


async def test_kills_lose_and_repeat_nothing(site: Site) -> None:
    dice = random.Random(7)
    async with batched.build(site.url) as app:
        site.audit.install()
        handles = await add(site, app, dice)
        workers = [start(site) for _ in range(2)]
        for worker in workers:
            await worker.ready()
        for turn in range(KILLS):
            await asyncio.sleep(dice.uniform(0.1, 0.6))
            victim = turn % 2
            await asyncio.to_thread(workers[victim].kill)
            workers[victim] = start(site)
            await workers[victim].ready()
        rows = await all_ended(handles, app)
        assert {row.state for row in rows} == {JobState.COMPLETED}
        for worker in workers:
            assert await worker.stop() == 0
        verdict = site.check()
        assert verdict.completions == len(handles)
        assert verdict.executions > len(handles)  # kills and failures did repeat something


async def test_a_stop_hands_back_what_is_collected_and_another_worker_takes_it(site: Site) -> None:
    async with batched.build(site.url) as app:
        site.audit.install()
        first = start(site)
        await first.ready()
        handles = await add(site, app, random.Random(8))
        await asyncio.sleep(0.3)
        second = start(site)
        await second.ready()
        assert await first.stop() == 0
        rows = await all_ended(handles, app)
        assert {row.state for row in rows} == {JobState.COMPLETED}
        assert {row.crashes for row in rows} == {0}
        assert await second.stop() == 0
        site.check()
