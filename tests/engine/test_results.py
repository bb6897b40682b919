"""`job.result()`: every end a job can come to, and every way to wait for it."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.engine._kit import PATIENCE, FaultyStore, faulty_app, running, until

from tidewheel import (
    App,
    DecodeError,
    JobCancelled,
    JobFailed,
    JobHandle,
    JobNotFound,
    JobState,
    ResultTimeout,
    StoreError,
    StoreUnavailable,
)
from tidewheel._model.job import Lease
from tidewheel._model.outcome import Complete, Settlement
from tidewheel._model.worker import Want


async def echo(value: int) -> int:
    return value


async def complete(app: App, result: str = "5") -> None:
    """Claim one job and complete it, as a worker would."""
    store = await app.opened()
    (job,) = await store.claim([Want("default", 1)], kinds=list(app.tasks), worker="w", lease=10**9)
    await store.settle([Settlement(Lease(job.id, job.epoch), Complete(result))])


# --- the ends ---


async def test_the_result_is_what_the_handler_returned_as_its_type(app: App) -> None:
    @dataclass
    class Report:
        made: datetime
        rows: tuple[int, ...]

    async def report() -> Report:
        return Report(datetime(2026, 1, 15, tzinfo=UTC), (1, 2))

    report.__annotations__["return"] = Report
    job = await app.task(report).enqueue()
    async with running(app):
        assert await job.result(PATIENCE) == Report(datetime(2026, 1, 15, tzinfo=UTC), (1, 2))


async def test_a_failed_job_tells_the_error_and_its_stack(app: App) -> None:
    @app.task(retry=1)
    async def fails() -> None:
        raise LookupError("no such customer")

    job = await fails.enqueue()
    async with running(app):
        with pytest.raises(JobFailed, match=r"fails\) failed in attempt 1: LookupError: no such customer") as told:
            await job.result(PATIENCE)
    assert told.value.error_type == "LookupError"
    assert 'raise LookupError("no such customer")' in told.value.traceback


async def test_a_cancelled_job_says_so(app: App) -> None:
    job = await app.task(echo).enqueue(1)
    waiting = asyncio.create_task(job.result(PATIENCE))
    await asyncio.sleep(0)

    assert await job.cancel()
    with pytest.raises(JobCancelled, match="was cancelled"):
        await waiting


async def test_a_timeout_names_the_job_and_leaves_it(app: App) -> None:
    job = await app.task(echo).enqueue(1)

    with pytest.raises(ResultTimeout, match=rf"{job.id} \(echo\) has not ended within 0\.01 s; it goes on"):
        await job.result(0.01)
    with pytest.raises(TimeoutError):
        await job.result("10ms")
    assert await job.state() is JobState.AVAILABLE


async def test_no_time_at_all_is_enough_for_a_job_that_has_ended() -> None:
    """`result(timeout=0)` asks without waiting, also of a store that takes its time to answer."""
    app, store = faulty_app()
    job = await app.task(echo).enqueue(1)
    with pytest.raises(ResultTimeout):
        await job.result(0)

    await complete(app)
    store.doors["get"] = gate = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, gate.set)
    assert await job.result(0) == 5


async def test_a_job_deleted_while_somebody_waits(app: App) -> None:
    job = await app.task(echo).enqueue(1)
    waiting = asyncio.create_task(job.result(PATIENCE))
    await asyncio.sleep(0)

    assert await job.delete()
    with pytest.raises(JobNotFound, match=job.id):
        await waiting


async def test_a_job_that_never_was(app: App) -> None:
    job = await app.task(echo).enqueue(1)
    await job.delete()

    with pytest.raises(JobNotFound):
        await job.result()
    with pytest.raises(JobNotFound):
        await job.info()
    with pytest.raises(JobNotFound):
        await job.logs()
    assert not await job.cancel()
    assert not await job.delete()


async def test_a_result_that_does_not_fit_the_return_type(app: App) -> None:
    job = await app.task(echo).enqueue(1)
    await complete(app, '"five"')

    with pytest.raises(DecodeError, match="return type of echo"):
        await job.result()


async def test_a_result_of_a_task_this_process_does_not_know(app: App) -> None:
    job: JobHandle[Any] = await app.task(echo).enqueue(1)
    await complete(app, '{"a":1}')

    del app._tasks["echo"]
    assert await job.result() == {"a": 1}


async def test_a_wrong_timeout_is_refused(app: App) -> None:
    job = await app.task(echo).enqueue(1)

    with pytest.raises(ValueError, match="negative"):
        await job.result(-1)
    with pytest.raises(TypeError, match="no duration"):
        await job.result([])  # type: ignore[arg-type]


# --- waiting ---


async def test_many_wait_at_once_and_one_asks_for_all() -> None:
    app, store = faulty_app()
    task = app.task(echo)
    jobs = await app.enqueue_many(task.job(number) for number in range(200))
    waiting = [asyncio.create_task(job.result(PATIENCE)) for job in jobs for _ in range(2)]
    await until(lambda: store.calls["get"] >= len(waiting))

    async with running(app, concurrency=200):
        assert await asyncio.gather(*waiting) == [number for number in range(200) for _ in range(2)]
    assert store.calls["get"] < 2 * len(waiting)
    assert app._results is not None
    assert app._results._waiters == {}


async def test_nobody_is_asked_when_nobody_waits_any_more() -> None:
    app, store = faulty_app()
    job = await app.task(echo).enqueue(1)

    with pytest.raises(ResultTimeout):
        await job.result(0.01)
    assert app._results is not None
    await until(lambda: app._results is not None and app._results._watcher is not None and app._results._watcher.done())
    calls = store.calls["get"]
    assert await job.state()
    assert store.calls["get"] == calls + 1


async def test_one_waiter_leaving_does_not_disturb_another(app: App) -> None:
    job = await app.task(echo).enqueue(1)
    leaves, stays = (asyncio.create_task(job.result(PATIENCE)) for _ in range(2))
    await asyncio.sleep(0)

    leaves.cancel()
    await complete(app)
    assert await stays == 5
    with pytest.raises(asyncio.CancelledError):
        await leaves


# --- trouble ---


@pytest.fixture
async def faulty() -> tuple[App, FaultyStore]:
    return faulty_app()


async def test_a_store_that_is_away_for_a_moment_is_waited_for(faulty: tuple[App, FaultyStore]) -> None:
    app, store = faulty
    job = await app.task(echo).enqueue(1)
    waiting = asyncio.create_task(job.result(PATIENCE))
    await until(lambda: store.calls["get"])

    store.away.add("get")
    await until(lambda: store.calls["get"] > 2)
    store.away.clear()
    await complete(app)
    assert await waiting == 5


@pytest.mark.parametrize("error", [StoreError("gone for good"), ZeroDivisionError("a bug")])
async def test_trouble_that_does_not_pass_reaches_every_waiter(
    faulty: tuple[App, FaultyStore], error: Exception
) -> None:
    app, store = faulty
    jobs = [await app.task(echo).enqueue(1), await app.tasks["echo"].enqueue(2)]
    waiting = [asyncio.create_task(job.result(PATIENCE)) for job in jobs]
    await until(lambda: store.calls["get"] >= 2)

    store.before["get"].append(error)
    for one in waiting:
        with pytest.raises(type(error)):
            await one


async def test_hints_that_cannot_be_had_reach_the_waiter(faulty: tuple[App, FaultyStore]) -> None:
    app, store = faulty
    job = await app.task(echo).enqueue(1)
    store.before["wakeups"].append(StoreError("too many listeners"))

    with pytest.raises(StoreError, match="too many listeners"):
        await job.result(PATIENCE)

    store.before["wakeups"].append(StoreUnavailable("not now"))
    waiting = asyncio.create_task(job.result(PATIENCE))
    await until(lambda: store.calls["wakeups"] == 3)
    await complete(app)
    assert await waiting == 5


async def test_closing_the_app_tells_who_waits(app: App) -> None:
    job = await app.task(echo).enqueue(1)
    waiting = asyncio.create_task(job.result(PATIENCE))
    await until(lambda: app._results is not None and app._results._watcher is not None)

    await app.close()
    with pytest.raises(StoreError, match="was closed while waiting"):
        await waiting
    gc.collect()


async def test_a_new_attempt_is_waited_for_after_a_retry(app: App) -> None:
    job = await app.task(echo).enqueue(1)
    await complete(app, "1")
    assert await job.result() == 1

    assert await job.retry()
    waiting = asyncio.create_task(job.result(PATIENCE))
    await asyncio.sleep(0)
    await complete(app, "2")
    assert await waiting == 2
