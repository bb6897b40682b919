"""A worker at work: slots, queues, schedules, retries, and what it tells."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from tests.engine._kit import PATIENCE, Ears, faulty_app, row, run_all, running, until

from tidewheel import (
    App,
    Cancel,
    JobState,
    Retry,
    RetryPolicy,
    Snooze,
    current_job,
    fixed,
)


async def echo(value: int) -> int:
    return value


# --- working ---


async def test_jobs_of_all_sorts_run_side_by_side(app: App) -> None:
    both = threading.Barrier(3)

    @app.task
    def in_thread() -> str:
        both.wait(PATIENCE)
        return threading.current_thread().name

    @app.task
    async def in_loop() -> str:
        return threading.current_thread().name

    jobs = [await in_thread.enqueue() for _ in range(3)] + [await in_loop.enqueue()]
    async with running(app) as worker:
        names = [await job.result(PATIENCE) for job in jobs]
        assert worker.done == 4
        await worker.settled()
    assert names == ["tidewheel-handler"] * 3 + [threading.current_thread().name]


async def test_never_more_at_once_than_there_are_slots(app: App) -> None:
    now, most = 0, 0

    @app.task
    async def count() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(3):
            await asyncio.sleep(0)
        now -= 1

    await app.enqueue_many([count.job() for _ in range(40)])
    assert await run_all(app, concurrency=3) == "drained"
    assert most == 3


async def test_a_thread_is_kept_for_the_next_job(app: App) -> None:
    @app.task
    def ident() -> int:
        return threading.get_ident()

    jobs = await app.enqueue_many([ident.job() for _ in range(10)])
    async with running(app, threads=1):
        assert len({await job.result(PATIENCE) for job in jobs}) == 1


async def test_queues_are_those_of_the_tasks_unless_told_otherwise(app: App) -> None:
    app.task(queue="b")(echo)
    app.task(name="other", queue="a")(echo)

    assert app.worker().queues == ("a", "b")
    assert app.worker(queues=["z"]).queues == ("z",)


async def test_only_its_queues_are_worked_on(app: App) -> None:
    task = app.task(echo)
    mine, other = await task.options(queue="mine").enqueue(1), await task.options(queue="other").enqueue(2)

    assert await run_all(app, queues=["mine"]) == "drained"
    assert await mine.state() is JobState.COMPLETED
    assert await other.state() is JobState.AVAILABLE


async def test_a_paused_queue_waits_and_a_resumed_one_goes_on() -> None:
    app, store = faulty_app()
    task = app.task(echo)
    await app.queues.pause("default")
    job, ears = await task.enqueue(1), Ears(app, "job.started")

    async with running(app, poll=0.01):
        await until(lambda: store.calls["claim"] > 3)
        assert ears.heard == []
        await app.queues.resume("default")
        assert await job.result(PATIENCE) == 1


async def test_a_scheduled_job_runs_when_it_is_due(app: App) -> None:
    job = await app.task(echo).options(delay=0.05).enqueue(1)
    assert await job.state() is JobState.SCHEDULED
    async with running(app):
        assert await job.result(PATIENCE) == 1
    done = await row(app, job.id)
    assert done.started_at is not None
    assert done.started_at - done.enqueued_at >= 50_000


async def test_a_failed_job_is_tried_again_until_it_succeeds(app: App) -> None:
    @app.task(retry=3)
    async def third_time() -> int:
        if current_job().attempt < 3:
            raise ConnectionError("not yet")
        return current_job().attempt

    job = await third_time.options(retry=RetryPolicy(3, fixed("5ms"))).enqueue()
    async with running(app):
        assert await job.result(PATIENCE) == 3
    assert [record.outcome for record in (await job.history()).attempts] == ["retry", "retry"]


async def test_a_worker_shows_itself_while_it_lives(app: App) -> None:
    leave = asyncio.Event()
    app.task(leave.wait)
    await app.tasks["wait"].enqueue()
    async with running(app, concurrency=7) as worker:
        await until(lambda: worker._attempts)
        worker._keeper.hurry()
        (shown,) = await app.workers.list()
        assert shown.info.id == worker.id
        assert shown.info.queues == ("default",)
        assert shown.info.kinds == ("wait",)
        assert shown.info.concurrency == 7
        leave.set()


# --- telemetry ---


async def test_every_ending_has_its_event(app: App) -> None:
    errors = {"job.failed": Retry(after="1h"), "job.snoozed": Snooze("1h"), "job.cancelled": Cancel()}

    @app.task(retry=2)
    async def end(how: str) -> None:
        if how in errors:
            raise errors[how]

    @app.task(retry=1)
    async def fail() -> None:
        raise ValueError("x")

    names = [*errors, "job.completed", "job.discarded"]
    ears = Ears(app, "job.started", *names)
    jobs = {how: await end.enqueue(how) for how in [*errors, "job.completed"]}
    jobs["job.discarded"] = await fail.enqueue()
    async with running(app):
        for name, job in jobs.items():
            assert (await ears.next(name)).data["job"].id == job.id
        for _ in jobs:
            await ears.next("job.started")


async def test_a_listener_that_raises_hurts_nobody(app: App, caplog: pytest.LogCaptureFixture) -> None:
    def bad(event: Any) -> None:
        raise RuntimeError("a bug in the metrics")

    for name in ("worker.started", "job.started", "job.completed", "worker.stopped"):
        app.on(name, bad)
    job = await app.task(echo).enqueue(1)
    async with running(app):
        assert await job.result(PATIENCE) == 1
    assert "A listener of job.completed raised" in caplog.text


def test_an_unknown_event_names_the_one_that_was_meant(app: App) -> None:
    with pytest.raises(ValueError, match=r"Did you mean 'job\.completed'"):
        app.on("job.complete", print)
    with pytest.raises(ValueError, match=r"There are: job\.started"):
        app.on("x", print)
