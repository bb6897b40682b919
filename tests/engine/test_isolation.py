"""Jobs on their last life run one at a time in a worker, whatever runs them."""

from __future__ import annotations

import asyncio

from tests.engine._kit import FaultyStore, claimed, faulty_app, row, run_all, running, until

from tidewheel import App, JobState
from tidewheel._engine.isolation import Isolation
from tidewheel._model.duration import SECOND
from tidewheel._model.worker import Want
from tidewheel.testing import FakeClock, fake_env


async def lose(app: App, store: FaultyStore, times: int) -> None:
    """Let workers that claim everything be lost so many times."""
    clock = app.env.clock
    assert isinstance(clock, FakeClock)
    for _ in range(times):
        while await store.claim([Want("default", 100)], kinds=list(app.tasks), worker="lost", lease=SECOND):
            pass
        clock.advance(2 * SECOND)
        await store.sweep()


async def test_suspects_run_one_after_the_other_and_beside_the_others() -> None:
    app, store = faulty_app(env=fake_env())
    running_now, most = set[str](), 0
    others = asyncio.Event()

    @app.task(max_crashes=2, retry=9)
    async def suspect(name: str) -> None:
        nonlocal most
        running_now.add(name)
        most = max(most, len(running_now))
        await others.wait()
        running_now.discard(name)

    @app.task
    async def other() -> None:
        others.set()

    for name in "abc":
        await suspect.enqueue(name)
    await lose(app, store, 1)
    await other.enqueue()
    await run_all(app)
    assert most == 1
    assert [job.state for job in await store.list_all()] == [JobState.COMPLETED] * 4


async def test_two_kinds_of_executors_share_the_one_place() -> None:
    app, store = faulty_app(env=fake_env())
    here, leave = set[str](), asyncio.Event()

    @app.task(max_crashes=2, retry=9)
    async def on_the_loop() -> None:
        here.add("loop")
        await leave.wait()

    @app.task(max_crashes=2, retry=9)
    def in_a_thread() -> None:
        here.add("thread")

    jobs = [await on_the_loop.enqueue(), await in_a_thread.enqueue()]
    await lose(app, store, 1)
    first = await on_the_loop.enqueue()
    async with running(app, poll=0.02):
        await until(lambda: here)
        claims = store.calls["claim"]
        await until(lambda: store.calls["claim"] > claims + 4)
        assert len(here - {"loop"}) + len(here - {"thread"}) == 1
        leave.set()
        await until(lambda: here == {"loop", "thread"})
    assert (await row(app, first.id)).state is JobState.COMPLETED
    assert {(await row(app, job.id)).state for job in jobs} == {JobState.COMPLETED}


def test_a_claim_that_brings_none_gives_the_place_back() -> None:
    app, _ = faulty_app()

    @app.task
    async def task() -> None: ...

    innocent, suspect = claimed(task), claimed(task, crashes=1, max_crashes=2)
    place = Isolation()
    assert place.ask()
    assert not place.ask()
    place.heard([innocent])
    assert place.ask()
    place.heard([suspect, innocent])
    place.ended(innocent)
    assert not place.ask()
    place.ended(suspect)
    assert place.ask()


async def test_a_worker_that_stops_is_not_listed_any_more() -> None:
    app, _ = faulty_app()

    @app.task
    async def task() -> None: ...

    async with running(app) as worker:
        assert [one.info.id for one in await app.workers.list()] == [worker.id]
    assert await app.workers.list() == []
