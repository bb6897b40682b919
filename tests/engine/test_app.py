"""The app: enqueueing one and many, from async and from sync code, in one event loop after another."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.engine._kit import PATIENCE, faulty_app, row, running, until

from tidewheel import App, ConfigError, JobHandle, JobState, PreparedJob, StoreError, StoreFull
from tidewheel._model.errors import EncodeError
from tidewheel._task import AsyncTask


async def echo(value: int) -> int:
    return value


@pytest.fixture
def task(app: App) -> AsyncTask[[int], int]:
    return app.task(echo)


# --- one ---


async def test_enqueue_answers_a_handle_on_the_job(app: App, task: AsyncTask[[int], int]) -> None:
    job = await task.enqueue(5)

    assert (job.kind, job.queue, job.created) == ("echo", "default", True)
    assert await job.state() is JobState.AVAILABLE
    assert (await row(app, job.id)).payload == {"value": 5}
    assert await app.jobs.get(job.id) == job


async def test_an_id_of_ones_own_is_enqueued_once(app: App, task: AsyncTask[[int], int]) -> None:
    first = await task.options(id="order-7").enqueue(1)
    second = await task.options(id="order-7").enqueue(2)

    assert (first.created, second.created) == (True, False)
    assert first == second
    assert (await row(app, "order-7")).payload == {"value": 1}


async def test_an_id_is_taken_for_as_long_as_its_job_is_there(app: App, task: AsyncTask[[int], int]) -> None:
    job = await task.options(id="order-7").enqueue(1)
    async with running(app):
        assert await job.result(PATIENCE) == 1

    again = await task.options(id="order-7").enqueue(2)
    assert not again.created
    assert await again.result() == 1

    assert await job.delete()
    assert (await task.options(id="order-7").enqueue(3)).created


async def test_a_unique_key_holds_while_its_job_lives(app: App, task: AsyncTask[[int], int]) -> None:
    unique = task.options(unique=True)
    first, same, other = await unique.enqueue(1), await unique.enqueue(1), await unique.enqueue(2)

    assert same.id == first.id
    assert not same.created
    assert other.created

    async with running(app):
        await first.result(PATIENCE)
        assert (await unique.enqueue(1)).created


async def test_nothing_is_enqueued_when_an_argument_is_bad(app: App, task: AsyncTask[[int], int]) -> None:
    with pytest.raises(TypeError, match="Nothing was enqueued"):
        await task.enqueue("five")  # type: ignore[arg-type]
    assert (await app.jobs.list()).jobs == ()


# --- many ---


async def test_many_from_a_generator_in_batches_answered_in_order(app: App, task: AsyncTask[[int], int]) -> None:
    handles = await app.enqueue_many((task.job(number) for number in range(10)), batch=3)

    assert [(await row(app, handle.id)).payload["value"] for handle in handles] == list(range(10))
    assert all(handle.created for handle in handles)


async def test_batches_of_the_store_have_the_size_asked_for() -> None:
    app, store = faulty_app()
    task = app.task(echo)

    await app.enqueue_many([task.job(number) for number in range(7)], batch=3)
    assert store.calls["enqueue"] == 3
    assert await app.enqueue_many([]) == []
    assert await app.enqueue_many(iter(())) == []
    assert store.calls["enqueue"] == 3


async def test_duplicates_among_many_are_answered_in_their_place(app: App, task: AsyncTask[[int], int]) -> None:
    await task.options(id="b").enqueue(0)
    jobs = [task.options(id=id).job(number) for number, id in enumerate(["a", "b", "c", "a", "c"])]

    handles = await app.enqueue_many(jobs, batch=2)

    assert [handle.id for handle in handles] == ["a", "b", "c", "a", "c"]
    assert [handle.created for handle in handles] == [True, False, True, False, False]


async def test_many_of_several_tasks_with_their_own_options(app: App, task: AsyncTask[[int], int]) -> None:
    other = app.task(name="other", queue="mail")(echo)
    prepared: list[PreparedJob[int]] = [task.job(1), other.options(priority=5).job(2)]

    first, second = await app.enqueue_many(prepared)

    assert (first.kind, first.queue) == ("echo", "default")
    assert (second.kind, second.queue) == ("other", "mail")
    assert (await row(app, second.id)).priority == 5


@pytest.mark.parametrize("batch", [0, -1, 10_001])
async def test_a_batch_has_a_size(app: App, batch: int) -> None:
    with pytest.raises(ValueError, match="1 to 10000"):
        await app.enqueue_many([], batch=batch)


async def test_a_failing_batch_leaves_no_task_behind() -> None:
    """Batches before the failing one are in; the one sent after it is waited for, whatever becomes of it."""
    app, store = faulty_app()
    task = app.task(echo)
    store.doors["enqueue"] = gate = asyncio.Event()

    enqueueing = asyncio.create_task(app.enqueue_many([task.job(number) for number in range(6)], batch=2))
    await until(lambda: store.calls["enqueue"] == 2)
    store.before["enqueue"] = [StoreFull("no room"), StoreError("never again")]
    gate.set()
    with pytest.raises(StoreFull):
        await enqueueing

    gc.collect()  # an exception nobody fetched would be told now, and fail the test
    assert store.calls["enqueue"] == 2
    assert {one for one in asyncio.all_tasks() if one is not asyncio.current_task()} == set()


async def test_a_generator_that_fails_leaves_whole_batches(app: App, task: AsyncTask[[int], int]) -> None:
    def jobs() -> Iterator[PreparedJob[int]]:
        for number in range(5):
            yield task.job(number)
        raise LookupError("no more rows")

    with pytest.raises(LookupError):
        await app.enqueue_many(jobs(), batch=2)
    assert len((await app.jobs.list()).jobs) == 4


async def test_what_is_no_prepared_job_is_refused(app: App, task: AsyncTask[[int], int]) -> None:
    wrong: list[Any] = [task.job(1), task.enqueue(2)]

    with pytest.raises(TypeError, match=r"Make them with task\.job"):
        await app.enqueue_many(wrong)
    assert (await app.jobs.list()).jobs == ()


# --- from sync code ---


def test_sync_code_may_run_any_coroutine_of_the_app() -> None:
    app = App("memory://")
    task = app.task(echo)

    job = app.run_sync(task.enqueue(5))
    assert app.run_sync(job.state()) is JobState.AVAILABLE
    with pytest.raises(TypeError, match="Nothing was enqueued"):
        app.run_sync(task.enqueue("five"))  # type: ignore[arg-type]
    app.run_sync(app.close())


async def test_run_sync_in_async_code_is_refused_without_a_trace(app: App, task: AsyncTask[[int], int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeError, match="Use `await` there"):
            app.run_sync(task.enqueue(5))
        gc.collect()
    assert (await app.jobs.list()).jobs == ()


async def test_a_thread_uses_the_loop_the_app_is_open_in(app: App, task: AsyncTask[[int], int]) -> None:
    await app.opened()
    loops: list[asyncio.AbstractEventLoop] = []

    async def note() -> int:
        loops.append(asyncio.get_running_loop())
        return len((await app.jobs.list()).jobs)

    await task.enqueue(5)
    assert await asyncio.to_thread(app.run_sync, note()) == 1
    assert loops == [asyncio.get_running_loop()]


async def test_a_plain_task_may_enqueue_and_wait(app: App, task: AsyncTask[[int], int]) -> None:
    @app.task
    def parent(value: int) -> int:
        child: JobHandle[int] = app.run_sync(task.enqueue(value))
        return app.run_sync(child.result(PATIENCE)) + 1

    job = await parent.enqueue(5)
    async with running(app):
        assert await job.result(PATIENCE) == 6


async def test_an_async_task_is_told_to_await(app: App, task: AsyncTask[[int], int]) -> None:
    @app.task
    async def parent() -> str:
        try:
            app.run_sync(task.enqueue(1))
        except RuntimeError as error:
            return str(error)
        return "no error"

    job = await parent.enqueue()
    async with running(app):
        assert "Use `await` there" in await job.result(PATIENCE)


def test_an_interrupted_run_sync_cancels_what_it_waited_for() -> None:
    app = App("memory://")
    entered, cancelled = threading.Event(), threading.Event()

    async def wait() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    class Interrupted(BaseException): ...

    from concurrent.futures import Future

    def interrupted(self: Future[Any], timeout: float | None = None) -> Any:
        assert entered.wait(PATIENCE)
        raise Interrupted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Future, "result", interrupted)  # as Ctrl-C would
        with pytest.raises(Interrupted):
            app.run_sync(wait())
    assert cancelled.wait(PATIENCE)


# --- loops and life ---


@pytest.fixture(params=["memory", "sqlite"])
def any_app(request: pytest.FixtureRequest, tmp_path: Path) -> App:
    return App("memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/jobs.db")


def test_one_event_loop_after_another(any_app: App) -> None:
    task = any_app.task(echo)

    async def once(value: int) -> int:
        job = await task.enqueue(value)
        async with running(any_app):
            return await job.result(PATIENCE)

    assert asyncio.run(once(1)) == 1
    assert asyncio.run(once(2)) == 2
    asyncio.run(any_app.close())


def test_close_and_use_again(any_app: App) -> None:
    task = any_app.task(echo)

    async def main() -> None:
        async with any_app:
            job = await task.enqueue(1)
        await any_app.close()
        await any_app.close()
        assert await job.state() is JobState.AVAILABLE
        await any_app.close()

    asyncio.run(main())


def test_sync_code_first_then_a_loop_then_sync_code_again(any_app: App) -> None:
    """A script enqueues with `run_sync`, then runs a worker with `asyncio.run`, then looks at the result."""
    task = any_app.task(echo)

    job = any_app.run_sync(task.enqueue(1))

    async def work() -> int:
        async with running(any_app):
            return await job.result(PATIENCE)

    assert asyncio.run(work()) == 1
    assert any_app.run_sync(job.result(PATIENCE)) == 1
    any_app.run_sync(any_app.close())


async def test_a_second_loop_while_the_first_runs_is_refused(app: App, task: AsyncTask[[int], int]) -> None:
    await app.opened()

    def elsewhere() -> None:
        asyncio.run(app.opened())

    with pytest.raises(ConfigError, match="open in another event loop that still runs"):
        await asyncio.to_thread(elsewhere)


def test_the_loop_of_run_sync_is_not_taken_away_from_a_call() -> None:
    app = App("memory://")
    entered, leave = threading.Event(), threading.Event()

    async def busy() -> None:
        await app.opened()
        entered.set()
        await asyncio.to_thread(leave.wait, PATIENCE)

    thread = threading.Thread(target=lambda: app.run_sync(busy()))
    thread.start()
    assert entered.wait(PATIENCE)
    with pytest.raises(ConfigError, match="still runs"):
        asyncio.run(app.opened())
    leave.set()
    thread.join(PATIENCE)


async def test_many_first_uses_at_once_open_the_store_once() -> None:
    app, store = faulty_app()
    opened = 0

    async def open_slowly() -> None:
        nonlocal opened
        opened += 1
        await asyncio.sleep(0)

    store.open = open_slowly  # type: ignore[method-assign]
    await asyncio.gather(*(app.opened() for _ in range(10)))
    assert opened == 1


async def test_a_store_that_does_not_open_is_tried_again() -> None:
    app, store = faulty_app()
    failures = [StoreError("no"), StoreError("not yet")]

    async def open_later() -> None:
        if failures:
            raise failures.pop()

    store.open = open_later  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(StoreError):
            await app.opened()
    assert await app.opened() is store


async def test_what_a_result_may_cost_is_the_apps_cap() -> None:
    app = App("memory://", max_payload=50)
    task = app.task(name="big")(lambda: "x" * 100)

    with pytest.raises(EncodeError):
        await app.task(echo).enqueue(10**60)
    job = await task.enqueue()
    async with running(app):
        await asyncio.wait({asyncio.ensure_future(job.result(PATIENCE))})
    assert (await row(app, job.id)).state is JobState.DISCARDED
    await app.close()
