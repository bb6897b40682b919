"""Cancels, timeouts and lost leases of running jobs, and handlers that do not care."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.engine._kit import PATIENCE, Blocker, Ears, row, running, until

from tidewheel import App, JobCancelled, JobFailed, JobHandle, JobState, RetryPolicy, current_job
from tidewheel._engine.worker import Worker
from tidewheel._model.duration import SECOND


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that does not end when interrupted is given up after a moment."""
    monkeypatch.setattr("tidewheel._engine.worker._ABANDON", 0.03)


async def quick() -> str:
    return "quick"


class Stubborn:
    """An async handler that swallows every cancellation until it is let go."""

    def __init__(self) -> None:
        self.leave = asyncio.Event()
        self.cancelled = 0
        self.ended = asyncio.Event()

    async def run(self) -> str:
        while not self.leave.is_set():
            try:
                await self.leave.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
        self.ended.set()
        return "too late"


@pytest.fixture
async def stubborn() -> AsyncIterator[Stubborn]:
    made = Stubborn()
    yield made
    made.leave.set()
    await asyncio.sleep(0)


# --- cancel ---


async def test_a_cancel_interrupts_an_async_handler_at_its_next_await(app: App) -> None:
    cleaned = asyncio.Event()

    @app.task
    async def works() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    job, ears = await works.enqueue(), Ears(app, "job.cancelled")
    async with running(app) as worker:
        await until(lambda: worker._attempts)
        assert await job.cancel()
        with pytest.raises(JobCancelled):
            await job.result(PATIENCE)
    assert cleaned.is_set()
    assert (await ears.next("job.cancelled")).data["outcome"].reason == "cancelled on request"
    assert (await row(app, job.id)).cancel_requested is False


async def test_a_cancel_after_the_soft_timeout_is_heard(app: App) -> None:
    """The first reason to wind up must not hide the second."""

    @app.task(soft_timeout=0.001)
    async def works() -> None:
        await current_job().wait_cancelled()
        await asyncio.Event().wait()

    job = await works.enqueue()
    async with running(app) as worker:
        await until(lambda: any(one.context.cancelled for one in worker._attempts.values()))
        await job.cancel()
        with pytest.raises(JobCancelled):
            await job.result(PATIENCE)


async def test_a_thread_that_fails_after_a_cancel_is_cancelled(app: App) -> None:
    entered = asyncio.Event()
    loop = asyncio.get_running_loop()

    @app.task
    def works() -> None:
        loop.call_soon_threadsafe(entered.set)
        current_job().wait_stopped(PATIENCE)
        current_job().check()

    job = await works.enqueue()
    async with running(app):
        await asyncio.wait_for(entered.wait(), PATIENCE)
        await job.cancel()
        with pytest.raises(JobCancelled):
            await job.result(PATIENCE)


async def test_many_cancels_at_once(app: App) -> None:
    @app.task
    async def works() -> None:
        await asyncio.Event().wait()

    jobs = await app.enqueue_many([works.job() for _ in range(20)])
    async with running(app) as worker:
        await until(lambda: len(worker._attempts) == 20)
        await app.jobs.cancel([job.id for job in jobs[:10]])
        await until(lambda: len(worker._attempts) == 10)
        await worker.settled()
        assert [await job.state() for job in jobs[:10]] == [JobState.CANCELLED] * 10
        assert [await job.state() for job in jobs[10:]] == [JobState.RUNNING] * 10
        worker.stop()
        worker.stop()


# --- those who do not care ---


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("why", ["cancel", "timeout"])
async def test_a_handler_that_ignores_its_interruption_is_given_up_and_its_slot_filled(
    app: App, stubborn: Stubborn, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    task: Any = app.task(retry=1)(stubborn.run)
    job: JobHandle[str] = await (task.options(timeout=0.01) if why == "timeout" else task).enqueue()
    async with running(app, concurrency=1) as worker:
        await until(lambda: worker._attempts)
        if why == "cancel":
            await job.cancel()
        with pytest.raises(JobCancelled if why == "cancel" else JobFailed):
            await job.result(PATIENCE)
        stubborn.leave.set()
        await asyncio.wait_for(stubborn.ended.wait(), PATIENCE)
        await worker.settled()
        assert worker._claimers[0].free == 1
    assert stubborn.cancelled >= 1
    assert f"ignored its interruption ({why})" in caplog.text
    assert await job.state() is (JobState.CANCELLED if why == "cancel" else JobState.DISCARDED)


@pytest.mark.usefixtures("soon")
async def test_the_slot_of_a_stubborn_handler_serves_the_next_job(app: App, stubborn: Stubborn) -> None:
    app.task(timeout=0.01, retry=1)(stubborn.run)
    app.task(quick)
    await app.tasks["run"].enqueue()
    next_job: JobHandle[str] = await app.tasks["quick"].enqueue()
    async with running(app, concurrency=1):
        assert await next_job.result(PATIENCE) == "quick"


@pytest.mark.usefixtures("soon")
async def test_a_stubborn_handler_does_not_hold_up_the_stop(app: App, stubborn: Stubborn) -> None:
    job: JobHandle[str] = await app.task(stubborn.run).enqueue()
    async with running(app, grace=0) as worker:
        await until(lambda: worker._attempts)
    back = await row(app, job.id)
    assert (back.state, back.attempt) == (JobState.AVAILABLE, 0)


async def test_a_thread_over_its_timeout_is_left_and_what_it_says_later_refused(app: App) -> None:
    blocker, said = Blocker(), asyncio.Event()
    loop = asyncio.get_running_loop()

    @app.task(timeout=0.02, retry=RetryPolicy(2, "1h"))
    def hangs() -> str:
        blocker()
        current_job().progress("too late")
        current_job().log.info("too late")
        loop.call_soon_threadsafe(said.set)
        return "too late"

    @app.task
    def quickly() -> str:
        return "quick"

    job, next_job = await hangs.enqueue(), await quickly.enqueue()
    async with running(app, threads=1) as worker:
        assert await next_job.result(PATIENCE) == "quick"
        assert await job.state() is JobState.RETRYABLE
        assert worker._claimers[0].free == 1

        blocker.leave.set()
        await asyncio.wait_for(said.wait(), PATIENCE)
        assert await (await quickly.enqueue()).result(PATIENCE) == "quick"
        assert worker._claimers[0].free == 1
    after = await row(app, job.id)
    assert after.state is JobState.RETRYABLE
    assert after.progress is None
    assert after.error is not None
    assert after.error.message == "the attempt took longer than its timeout"
    assert await job.logs() == ()


@pytest.mark.usefixtures("soon")
async def test_a_thread_that_comes_back_after_the_worker_is_gone_ends(app: App) -> None:
    blocker = Blocker()

    def hangs() -> None:
        blocker()

    job: JobHandle[None] = await app.task(hangs).enqueue()
    async with running(app, grace=0):
        await blocker.entered()
    blocker.leave.set()
    assert await job.state() is JobState.AVAILABLE


# --- the lease ---


async def taken_away(app: App, worker: Worker) -> None:
    """Another worker thinks this one is gone: its leases are over, its jobs are rescued."""
    store = await app.opened()
    await store.sweep(now=app.env.clock() + 3600 * SECOND)
    worker._keeper.hurry()


async def test_a_lost_lease_interrupts_and_nothing_is_written(app: App, caplog: pytest.LogCaptureFixture) -> None:
    first = asyncio.Event()

    @app.task
    async def works() -> int:
        if not first.is_set():
            first.set()
            try:
                await asyncio.Event().wait()
            finally:
                lost.append(current_job().lost)
        return current_job().epoch

    lost: list[bool] = []
    job, ears = await works.enqueue(), Ears(app, "job.stalled")
    async with running(app) as worker:
        await until(lambda: worker._attempts)
        (attempt,) = worker._attempts.values()
        await taken_away(app, worker)
        assert await job.result(PATIENCE) == attempt.context.epoch + 2  # a rescue counts, and the next claim
        assert (await ears.next("job.stalled")).data["lease"] == attempt.claimed.lease
    assert lost == [True]
    assert (await row(app, job.id)).crashes == 1
    assert f"The outcome of job {job.id} was refused" in caplog.text


async def test_an_outcome_that_comes_after_the_lease_was_lost_is_refused(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    blocker = Blocker()

    @app.task
    def works() -> str:
        if current_job().epoch == 1:
            blocker()
            return "of the first"
        return "of the second"

    job = await works.enqueue()
    async with running(app, threads=1, lease="1h") as worker:
        await blocker.entered()
        store = await app.opened()
        await store.sweep(now=app.env.clock() + 2 * 3600 * SECOND)  # no beat tells the worker
        blocker.leave.set()
        assert await job.result(PATIENCE) == "of the second"
        await worker.settled()
    assert "was refused: its lease (epoch 1) is over" in caplog.text
