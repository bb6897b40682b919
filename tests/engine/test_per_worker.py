"""`@app.task(per_worker=...)` and queue weights in a whole worker, wherever its jobs run."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.engine._kit import Blocker, faulty_app, run_all, running, until

from tidewheel import App, JobState
from tidewheel._model.duration import SECOND
from tidewheel._model.worker import Want
from tidewheel.testing import FakeClock, fake_env


class Crowd:
    """Counts who is inside, and lets them out when the test says so."""

    def __init__(self) -> None:
        self.inside = Counter[str]()
        self.most = Counter[str]()
        self.leave = asyncio.Semaphore(0)

    async def enter(self, name: str) -> None:
        self.inside[name] += 1
        self.most[name] = max(self.most[name], self.inside[name])
        await self.leave.acquire()
        self.inside[name] -= 1


async def test_async_jobs_wait_for_their_room_and_others_do_not(app: App) -> None:
    crowd = Crowd()

    @app.task(per_worker=2)
    async def heavy() -> None:
        await crowd.enter("heavy")

    @app.task
    async def light() -> None:
        await crowd.enter("light")

    await app.enqueue_many([*(heavy.job() for _ in range(6)), *(light.job() for _ in range(4))])
    async with running(app, concurrency=8) as worker:
        await until(lambda: crowd.inside == {"heavy": 2, "light": 4})
        for _ in range(10):
            crowd.leave.release()
        await until(lambda: worker.done == 10)
    assert crowd.most == {"heavy": 2, "light": 4}


async def test_threads_too(app: App) -> None:
    inside, beside = Blocker(), Blocker()

    @app.task(per_worker=1)
    def heavy() -> None:
        inside()

    @app.task
    def light() -> None:
        beside()

    await app.enqueue_many([heavy.job(), heavy.job(), light.job()])
    async with running(app, threads=3) as worker:
        await inside.entered()
        await beside.entered()
        assert len(worker._attempts) == 2
        inside.leave.set()
        beside.leave.set()
        await until(lambda: worker.done == 3)


async def test_attempts_that_fail_and_attempts_that_are_given_up_make_room(app: App) -> None:
    blocker = Blocker()

    @app.task(per_worker=1, retry=1)
    def fails() -> None:
        raise ValueError

    @app.task(per_worker=1, retry=1, timeout=0.02)
    def hangs() -> None:
        blocker()

    await app.enqueue_many([one.job() for one in (fails, hangs) for _ in range(3)])
    async with running(app, threads=4) as worker:
        await until(lambda: worker.done == 6)
        blocker.leave.set()


async def test_a_job_on_its_last_life_takes_the_room_of_its_kind() -> None:
    app, store = faulty_app(env=fake_env())
    crowd = Crowd()

    @app.task(per_worker=1, max_crashes=2, retry=9)
    async def suspect() -> None:
        await crowd.enter("suspect")

    for _ in range(2):
        await suspect.enqueue()
    clock = app.env.clock
    assert isinstance(clock, FakeClock)
    while await store.claim([Want("default", 100)], kinds=["suspect"], worker="lost", lease=SECOND):
        pass
    clock.advance(2 * SECOND)
    await store.sweep()

    await suspect.enqueue()
    for _ in range(3):
        crowd.leave.release()
    await run_all(app)
    assert crowd.most == {"suspect": 1}
    assert {job.state for job in await store.list_all()} == {JobState.COMPLETED}


async def test_more_than_the_worker_has_slots_costs_nothing(app: App) -> None:
    @app.task(per_worker=50)
    async def fine() -> None: ...

    await fine.enqueue()
    async with running(app, concurrency=50) as worker:
        await until(lambda: worker.done)
        assert worker._claimers[0]._kinds._room == {}


async def test_a_worker_starts_jobs_by_the_weights_of_their_queues(app: App) -> None:
    order: list[str] = []

    @app.task
    async def note(queue: str) -> None:
        order.append(queue)

    for queue in ("low", "high"):
        await app.enqueue_many([note.options(queue=queue).job(queue) for _ in range(120)])
    await run_all(app, queues={"high": 5, "low": 1}, concurrency=2)
    assert 15 <= Counter(order[:120])["low"] <= 25
    assert Counter(order) == {"high": 120, "low": 120}


async def test_a_worker_in_strict_order(app: App) -> None:
    order: list[str] = []

    @app.task
    async def note(queue: str) -> None:
        order.append(queue)

    for queue in ("low", "high"):
        await app.enqueue_many([note.options(queue=queue).job(queue) for _ in range(20)])
    await run_all(app, queues=["high", "low"], order="strict", concurrency=4)
    assert order == ["high"] * 20 + ["low"] * 20
