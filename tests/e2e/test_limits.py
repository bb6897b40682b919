"""Limits hold across processes that are killed: what the bodies and the store wrote down shows no violation."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e._harness import PATIENCE, Site, WorkerProcess
from tests.e2e.apps import limited

from tidewheel import App, Job, JobHandle, JobState, PreparedJob
from tidewheel._model.duration import SECOND

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]

TENANTS = ("acme",) * 4 + ("bobs",) * 3 + ("cleo", "dora")
JOBS = 180
KILLS = 4


def start(site: Site, url: str) -> WorkerProcess:
    words = ["-m", "tidewheel", "worker", "tests.e2e.apps.limited:app", "--lease", "2s", "--concurrency", "8"]
    return site.start(words, url=url)


async def test_killed_workers_leave_no_limit_violated_and_no_slot_taken(site: Site, url: str) -> None:
    chance = random.Random(5)
    async with limited.build(url) as app:
        handles = await app.enqueue_many(some_jobs(app, chance))
        workers = [start(site, url) for _ in range(3)]
        for worker in workers:
            await worker.ready()
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0.05, 0.3))
            workers[await site.kill_at_work(workers)] = start(site, url)
        for handle in handles:
            await handle.result(PATIENCE)
        for worker in workers:
            assert await worker.stop() == 0

        assert crowds(site) == []
        starts = await claims(app, handles)
        assert len(starts) > JOBS  # some were begun by a worker that was killed
        assert hurries(starts) == []
        gates = [gate for name in ("all", "tenant", "starts") for gate in await app.limits.gates(name)]
        assert [gate for gate in gates if gate.used or gate.waiting] == []
        assert Counter(job.state for job in (await app.jobs.list(limit=1000)).jobs) == {JobState.COMPLETED: JOBS}


async def test_what_a_limit_would_have_forbidden_is_seen_in_the_history(site: Site) -> None:
    """The other test's eyes: here the limits are set so wide that they bind nobody."""
    async with limited.build(site.url) as app:
        for name, numbers in {"all": {"slots": 99}, "tenant": {"slots": 99}, "starts": {"count": 999}}.items():
            await app.limits.set(name, **numbers)
        handles = await app.enqueue_many(some_jobs(app, random.Random(6)))
        worker = start(site, site.url)
        for handle in handles:
            await handle.result(PATIENCE)
        assert await worker.stop() == 0
        assert crowds(site)
        assert hurries(await claims(app, handles))


def some_jobs(app: App, chance: random.Random) -> list[PreparedJob[Any]]:
    work = app.tasks["work"]
    return [work.job(chance.choice(TENANTS), chance.uniform(0.01, 0.05)) for _ in range(JOBS)]


Bodies = dict[tuple[str, int], tuple[int, str]]
"""By lease: the worker and the tenant of a body that runs."""


def moments(site: Site) -> Iterator[tuple[float, Bodies]]:
    """What ran at each moment at which that changed, by what the bodies wrote down."""
    bodies: Bodies = {}
    yield 0, bodies
    for line in sorted(site.lines(), key=lambda line: line["at"]):
        lease = (line.get("job", ""), line.get("epoch", 0))
        if line["what"] == "start":
            bodies[lease] = (line["worker"], line["tenant"])
        elif line["what"] == "gone":
            bodies = {one: body for one, body in bodies.items() if body[0] != line["worker"]}
        else:
            bodies.pop(lease, None)
        yield line["at"], bodies


def crowds(site: Site) -> list[str]:
    """Moments when more bodies ran at once than a limit permits."""
    found = []
    for at, bodies in moments(site):
        crowd = Counter(tenant for _, tenant in bodies.values())
        if crowd.total() > limited.SLOTS or max(crowd.values(), default=0) > limited.SLOTS_A_TENANT:
            found.append(f"{crowd} at {at}")
    return found


async def claims(app: App, handles: list[JobHandle[Any]]) -> list[int]:
    """When attempts began, by the store's clock, those of killed workers too."""
    found = []
    for handle in handles:
        history = await handle.history()
        found += [record.started_at for record in history.attempts]
        found += [_began(history.job)]
    return sorted(found)


def _began(job: Job) -> int:
    assert job.started_at is not None
    return job.started_at


def hurries(starts: list[int]) -> list[str]:
    """Stretches of the rate's time with more starts than it has."""
    per = round(limited.PER * SECOND)
    return [
        f"{limited.COUNT + 1} starts from {first} in {last - first} µs"
        for first, last in zip(starts, starts[limited.COUNT :], strict=False)
        if last - first < per
    ]
