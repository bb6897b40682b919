"""Graphs and keys hold across processes that are killed: what the store and the bodies wrote down shows no violation."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from tests.e2e._crowds import crowds
from tests.e2e._harness import PATIENCE, Site, WorkerProcess
from tests.e2e._records import all_jobs
from tests.e2e.apps import related

from tidewheel import App, Job, JobState, PreparedJob, chain, group

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]

GRAPHS = 10
KILLS = 4
NAMES = ("acme", "bobs")


async def test_killed_workers_start_no_parent_early_and_let_no_two_jobs_of_a_key_live(site: Site, url: str) -> None:
    chance = random.Random(3)
    async with related.build(url) as app:
        handles = [await app.enqueue_graph(a_graph(app, chance)) for _ in range(GRAPHS)]
        workers = [start(site, url) for _ in range(3)]
        for worker in workers:
            await worker.ready()
        busy = asyncio.create_task(keep_enqueueing(app, chance))
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0.1, 0.3))
            workers[await site.kill_at_work(workers)] = start(site, url)
        assert [await one.result(PATIENCE) for one in handles] == [28 + 1 + 2] * GRAPHS
        busy.cancel()
        with suppress(asyncio.CancelledError):
            await busy
        newest = [await app.tasks["newest"].enqueue(name, 10_000, 0.0) for name in NAMES]
        for one in newest:
            assert await one.result(PATIENCE) == 10_000
        rows = await everything(app)
        for worker in workers:
            await worker.ready()
            assert await worker.stop() == 0

        assert Counter(row.state for row in rows) == {JobState.COMPLETED: len(rows)}
        assert any(row.crashes for row in rows)  # some were begun by a worker that was killed
        assert await early(app, rows) == []
        assert doubles(site, rows) == []


def a_graph(app: App, chance: random.Random) -> PreparedJob[int]:
    """Seven side by side, their sum, two side by side, and the sum of those and of the first sum."""
    part, total = app.tasks["part"], app.tasks["total"]

    def parts(*numbers: int) -> list[PreparedJob[Any]]:
        return [part.job(number, chance.uniform(0, 0.2)) for number in numbers]

    first = group(parts(*range(1, 8)), then=total.job(0.02))
    return total.job(0.02).after(first, chain(first, group(parts(1, 2))))


async def keep_enqueueing(app: App, chance: random.Random) -> None:
    """Jobs that find others with their key, until it is cancelled."""
    number = 0
    while True:
        number += 1
        await app.tasks["single"].enqueue(chance.choice(NAMES), chance.uniform(0, 0.05))
        await app.tasks["newest"].enqueue(chance.choice(NAMES), number, chance.uniform(0, 0.05))
        await asyncio.sleep(0.01)


def start(site: Site, url: str) -> WorkerProcess:
    words = ["-m", "tidewheel", "worker", "tests.e2e.apps.related:app", "--lease", "1s", "--concurrency", "8"]
    return site.start(words, url=url)


async def everything(app: App) -> list[Job]:
    """All jobs, when all have ended."""
    return [await app.ended(job.id, job.kind, PATIENCE) for job in await all_jobs(app)]


async def early(app: App, rows: list[Job]) -> list[str]:
    """Parents that began, in any attempt, before a child of theirs had ended, by the store's clock."""
    ended = {row.id: row.finished_at or 0 for row in rows}
    found = []
    for row in rows:
        if row.kind == "total":
            handle = await app.jobs.get(row.id)
            assert handle
            history = await handle.history()
            began = min([row.started_at or 0, *(record.started_at for record in history.attempts)])
            children = await handle.children()
            assert len(children) in (3, 7)
            found += [f"{row.id} before {child.id}" for child in children if began < ended[child.id]]
    return found


def doubles(site: Site, rows: list[Job]) -> list[str]:
    """Two jobs of one name that lived at the same time, and two of which bodies ran at the same time."""
    lives = defaultdict[str, list[tuple[int, int, str]]](list)
    for row in rows:
        if row.kind == "single":
            lives[row.payload["name"]].append((row.enqueued_at, row.finished_at or 0, row.id))
    found = []
    for name, spans in lives.items():
        spans.sort()
        assert len(spans) > 1
        found += [f"{name}: {one} {other}" for one, other in pairwise(spans) if other[0] < one[1]]
    return found + crowds(site.lines(), _key_of)


def _key_of(line: Mapping[str, Any]) -> str | None:
    return f"{line['kind']} {line['name']}" if line["kind"] in ("single", "newest") else None
