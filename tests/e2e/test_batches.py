"""Batch handlers in workers that are killed: no job is lost, none is completed twice, and each ends by itself."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from typing import Any

import pytest
from tests.e2e._harness import Site, WorkerProcess, all_ended
from tests.e2e.apps import batched

from tidewheel import App, JobHandle, JobState

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]

JOBS = 150
KILLS = 8


def start(site: Site, url: str | None = None) -> WorkerProcess:
    words = ["-m", "tidewheel", "worker", "tests.e2e.apps.batched:app", "--lease", "1s", "--concurrency", "3"]
    return site.start([*words, "--threads", "2"], url=url)


async def add(
    site: Site, app: App, dice: random.Random, *, kinds: tuple[str, ...] = ("pack", "load", "hop"), jobs: int = JOBS
) -> list[JobHandle[Any]]:
    handles: list[JobHandle[Any]] = []
    for kind in kinds:
        handles += await site.add(app, kind, *[(dice.uniform(0, 0.2),) for _ in range(jobs)])
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


async def test_on_each_store_batches_are_of_one_key_and_who_fails_is_collected_again(site: Site, url: str) -> None:
    dice = random.Random(9)
    async with batched.build(url) as app:
        handles = await add(site, app, dice, kinds=("pack", "load", "press"), jobs=24)
        workers = [start(site, url) for _ in range(2)]
        for worker in workers:
            await worker.ready()
        for _ in range(2):
            await asyncio.sleep(dice.uniform(0, 0.1))
            workers[await site.kill_at_work(workers)] = start(site, url)
        rows = await all_ended(handles, app)
        for worker in workers:
            await worker.ready()
            assert await worker.stop() == 0

        assert Counter(row.state for row in rows) == {JobState.COMPLETED: len(handles)}
        assert [row.id for row in rows if row.result != f'"{row.id}:{row.epoch}"'] == []  # what its last body gave
        assert any(row.crashes for row in rows)
        calls = defaultdict[str, list[dict[str, Any]]](list)
        for line in site.lines("start"):
            calls[line["call"]].append(line)
        for call in calls.values():
            assert len(call) <= (batched.PACK if call[0]["kind"] == "pack" else batched.LOAD).size
            assert len({(one["kind"], one["worker"]) for one in call}) == 1
            if call[0]["kind"] == "pack":
                assert len({int(one["value"] * 1000) % 3 for one in call}) == 1
        assert {call[0]["kind"] for call in calls.values() if len(call) > 1} == {"pack", "load", "press"}
