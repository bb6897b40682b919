"""Pausing a task: workers stop asking for its jobs, others go on, and it holds until somebody resumes it."""

from __future__ import annotations

import asyncio

import pytest
from tests.engine._batches import Book
from tests.engine._kit import PATIENCE, faulty_app, running, until

from tidewheel import App, Batch, JobState, StoreUnavailable
from tidewheel._engine import patience as patience_module
from tidewheel._engine import pauses as pauses_module


async def echo(value: int) -> int:
    return value


async def test_a_paused_task_starts_nothing_and_others_go_on(app: App) -> None:
    paused, other = app.task(name="paused")(echo), app.task(echo)
    await paused.pause()
    job = await paused.enqueue(1)
    async with running(app) as worker:
        assert await (await other.enqueue(2)).result(PATIENCE) == 2
        await until(lambda: worker._claimers[0].idle)
        assert await job.state() is JobState.AVAILABLE
        await paused.resume()
        assert await job.result(PATIENCE) == 1


@pytest.mark.parametrize("hinted", [True, False])
async def test_a_worker_that_runs_hears_of_it(app: App, monkeypatch: pytest.MonkeyPatch, hinted: bool) -> None:
    if hinted:
        monkeypatch.setattr(pauses_module, "_EVERY", 60.0)
    else:
        monkeypatch.setattr(pauses_module, "_EVERY", 0.01)
        monkeypatch.setattr(pauses_module.PauseReader, "wake", lambda self: None)
    task = app.task(echo)
    async with running(app) as worker:
        await (await task.enqueue(1)).result(PATIENCE)
        await task.pause()
        await until(lambda: worker._claimers[0]._kinds.paused == {"echo"})
        job = await task.enqueue(2)
        await until(lambda: worker._claimers[0].idle)
        assert await job.state() is JobState.AVAILABLE
        await task.resume()
        assert await job.result(PATIENCE) == 2


async def test_what_runs_goes_on(app: App) -> None:
    inside, leave = asyncio.Event(), asyncio.Event()

    @app.task
    async def slow() -> str:
        inside.set()
        await leave.wait()
        return "done"

    job = await slow.enqueue()
    async with running(app):
        await inside.wait()
        await slow.pause()
        leave.set()
        assert await job.result(PATIENCE) == "done"


async def test_a_batch_task_can_be_paused(app: App, book: Book) -> None:
    task = app.task(batch=Batch(2, wait="1h"))(book.numbers)
    await task.pause()
    jobs = await app.enqueue_many(task.job(n) for n in range(2))
    async with running(app) as worker:
        await until(lambda: worker._claimers[0].idle)
        assert book.calls == []
        await task.resume()
        for job in jobs:
            await job.result(PATIENCE)


async def test_pauses_are_listed_and_are_no_limits(app: App) -> None:
    for name in ("b", "a"):
        app.task(name=name)(echo)
        await app.pauses.pause(name)
    assert await app.pauses.list() == ["a", "b"]
    assert await app.limits.list() == []
    await app.pauses.resume("a")
    await app.pauses.resume("a")
    assert await app.pauses.list() == ["b"]


async def test_an_app_without_tasks_may_pause_any(app: App) -> None:
    await app.pauses.pause("elsewhere")
    assert await app.pauses.list() == ["elsewhere"]


async def test_bad_names(app: App) -> None:
    app.task(echo)
    with pytest.raises(ValueError, match=r"has no task 'ecko'\. Did you mean 'echo'"):
        await app.pauses.pause("ecko")
    with pytest.raises(ValueError, match="There are: echo"):
        await app.pauses.pause("something")
    with pytest.raises(ValueError, match="1 to 200 characters"):
        await app.pauses.pause("")
    with pytest.raises(ValueError, match="1 to 200 characters"):
        await app.pauses.resume("")


async def test_a_store_that_is_away_at_the_look_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience_module, "_FIRST", 0.001)
    monkeypatch.setattr(patience_module, "_LONGEST", 0.002)
    app, store = faulty_app()
    task = app.task(echo)
    await task.pause()
    limits, failures = store.limits, [StoreUnavailable("away")] * 3

    async def unlucky() -> object:
        if failures:
            raise failures.pop()
        return await limits()

    monkeypatch.setattr(store, "limits", unlucky)
    job = await task.enqueue(1)
    async with running(app) as worker:
        await until(lambda: worker._claimers[0].idle)
        assert await job.state() is JobState.AVAILABLE
    assert not failures
