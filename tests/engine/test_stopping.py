"""The ways to end a worker: gracefully, at once, by itself, from outside."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from typing import Any

import pytest
from tests.engine._kit import PATIENCE, Blocker, Ears, faulty_app, row, run_all, running, until

from tidewheel import (
    App,
    JobState,
    RetryPolicy,
    current_job,
    fixed,
)
from tidewheel._engine.memory import resident


async def echo(value: int) -> int:
    return value


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_stop_lets_running_jobs_end_and_takes_no_new_ones(app: App) -> None:
    leave = asyncio.Event()

    @app.task
    async def slow() -> str:
        await leave.wait()
        return "done"

    first = await slow.enqueue()
    worker = app.worker(signals=False)
    task = asyncio.create_task(worker.run())
    await until(lambda: worker._attempts)
    worker.stop()
    await until(lambda: all(claimer._stopped.is_set() for claimer in worker._claimers))
    second = await slow.enqueue()
    leave.set()

    assert await asyncio.wait_for(task, PATIENCE) == "stop"
    assert await first.result() == "done"
    assert await second.state() is JobState.AVAILABLE


async def test_parts_end_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims end first; leases are kept while jobs run; outcomes are written last."""
    app, store = faulty_app()
    leave = asyncio.Event()
    app.task(leave.wait)
    await app.tasks["wait"].enqueue()
    async with running(app, poll=0.01, short_lease=0.06) as worker:
        await until(lambda: worker._attempts)
        worker.stop()
        await asyncio.sleep(0)
        await until(lambda: all(claimer._stopped.is_set() for claimer in worker._claimers))
        del store.order[:]
        await until(lambda: store.order.count("beat") >= 2)
        leave.set()
    assert "claim" not in store.order
    assert store.order.count("settle") == 1
    assert store.order[-1] == "settle" or store.order[-2:] in (["settle", "beat"], ["settle", "sweep"])


@pytest.mark.parametrize("how", ["by check", "by its end"])
async def test_a_thread_is_asked_at_the_end_of_the_grace_and_has_a_moment(app: App, how: str) -> None:
    """It cannot be interrupted. Handed back while it runs, its job would run twice at once."""
    entered = asyncio.Event()
    loop = asyncio.get_running_loop()

    @app.task
    def works() -> str:
        loop.call_soon_threadsafe(entered.set)
        current_job().wait_stopped(PATIENCE)
        if how == "by check":
            current_job().check()
        return current_job().stop_reason

    job = await works.enqueue()
    async with running(app, grace=0):
        await asyncio.wait_for(entered.wait(), PATIENCE)
    done = await row(app, job.id)
    if how == "by check":
        assert (done.state, done.attempt) == (JobState.AVAILABLE, 0)
    else:
        assert (done.state, done.result) == (JobState.COMPLETED, '"shutdown"')


@pytest.mark.parametrize("where", ["loop", "thread"])
async def test_after_the_grace_jobs_are_handed_back_and_no_attempt_is_burned(
    app: App, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewheel._engine.worker._ABANDON", 0.03)
    blocker = Blocker()
    task: Any = app.task(forever) if where == "loop" else app.task(name="blocked")(blocker.__call__)
    job = await task.enqueue()
    ears = Ears(app, "job.released")

    async with running(app, grace=0) as worker:
        await until(lambda: worker._attempts)
        if where == "thread":
            await blocker.entered()
    blocker.leave.set()

    assert (await ears.next("job.released")).data["outcome"].reason == "shutdown"
    back = await row(app, job.id)
    assert (back.state, back.attempt, back.crashes) == (JobState.AVAILABLE, 0, 0)
    (record,) = (await job.history()).attempts
    assert record.outcome == "release"


async def test_the_second_stop_skips_the_grace(app: App) -> None:
    job = await app.task(forever).enqueue()
    async with running(app, grace="1h") as worker:
        await until(lambda: worker._attempts)
        worker.stop("SIGTERM")
        worker.stop("SIGTERM")
    assert await job.state() is JobState.AVAILABLE
    assert worker._reason == "SIGTERM"


async def test_recycling_does_not_count_as_the_second_stop(app: App) -> None:
    leave = asyncio.Event()
    app.task(leave.wait)
    app.task(echo)
    await app.tasks["wait"].enqueue()
    await app.tasks["echo"].enqueue(1)
    worker = app.worker(signals=False, max_jobs=1)
    task = asyncio.create_task(worker.run())
    await until(lambda: worker.done)
    worker._note_stop("recycle")
    worker._note_stop("drained")
    assert not worker._hurry.is_set()
    leave.set()
    assert await asyncio.wait_for(task, PATIENCE) == "recycle"
    assert worker.done == 2


async def test_a_stop_from_another_thread(app: App) -> None:
    app.task(echo)
    worker = app.worker(signals=False)
    task = asyncio.create_task(worker.run())
    await until(lambda: worker._loop)
    await asyncio.to_thread(worker.stop)
    assert await asyncio.wait_for(task, PATIENCE) == "stop"


def test_a_stop_when_all_is_over(app: App) -> None:
    app.task(echo)
    worker = app.worker(signals=False)
    worker.stop("before")
    assert asyncio.run(worker.run()) == "before"
    worker.stop()


async def test_a_worker_runs_once(app: App) -> None:
    app.task(echo)
    worker = app.worker(signals=False, drain_and_exit=True)
    assert await asyncio.wait_for(worker.run(), PATIENCE) == "drained"
    with pytest.raises(RuntimeError, match="runs once"):
        await worker.run()


async def test_drain_and_exit_waits_for_what_is_scheduled_and_retried(app: App) -> None:
    @app.task(retry=RetryPolicy(2, fixed("10ms")))
    async def fails() -> None:
        raise ValueError("x")

    task = app.task(echo)
    jobs: list[Any] = [await task.options(delay=0.05).enqueue(1), await fails.enqueue()]
    assert await run_all(app) == "drained"
    assert [await job.state() for job in jobs] == [JobState.COMPLETED, JobState.DISCARDED]


async def test_max_jobs_recycles_after_what_runs_has_ended(app: App) -> None:
    task = app.task(echo)
    await app.enqueue_many([task.job(number) for number in range(10)])
    worker = app.worker(signals=False, max_jobs=3, concurrency=2)
    assert await asyncio.wait_for(worker.run(), PATIENCE) == "recycle"
    assert worker.done >= 3
    counts = (await app.queues.list())[0].counts
    assert counts[JobState.COMPLETED] == worker.done
    assert counts[JobState.RUNNING] == 0


async def test_max_memory_recycles(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 << 20 < resident() < 1 << 40
    monkeypatch.setattr("tidewheel._engine.leaving.resident", lambda: 1 << 30)
    app.task(echo)
    worker = app.worker(signals=False, max_memory="512MB")
    with monkeypatch.context() as patch:
        sleep = asyncio.sleep
        patch.setattr(asyncio, "sleep", lambda seconds: sleep(min(seconds, 0.01)))
        assert await asyncio.wait_for(worker.run(), PATIENCE) == "recycle"


async def test_a_cancelled_run_hands_its_jobs_back(app: App) -> None:
    """The host program ends the worker as it ends any task: nothing waits for a lease to end."""
    job = await app.task(forever).enqueue()
    worker = app.worker(signals=False, grace="1h")
    task = asyncio.create_task(worker.run())
    await until(lambda: worker._attempts)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, PATIENCE)
    back = await row(app, job.id)
    assert (back.state, back.attempt) == (JobState.AVAILABLE, 0)
    assert [one for one in threading.enumerate() if one.name == "tidewheel-keeper"] == []


async def test_a_claim_under_way_when_the_stop_comes_is_not_lost() -> None:
    app, store = faulty_app()
    job = await app.task(echo).enqueue(1)
    store.doors["claim"] = gate = asyncio.Event()
    worker = app.worker(signals=False)
    task = asyncio.create_task(worker.run())
    await until(lambda: store.calls["claim"])
    worker.stop()
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.wait_for(task, PATIENCE) == "stop"
    assert await job.state() is JobState.COMPLETED


async def test_an_attempt_that_never_began_is_handed_back(app: App) -> None:
    """Claimed, and interrupted before its task had its first step: no coroutine of it runs to tell."""
    job = await app.task(echo).enqueue(1)
    async with running(app, grace=0) as worker:
        await until(lambda: worker.done)
        again = await app.tasks["echo"].enqueue(2)
        (claimer,) = worker._claimers
        start = claimer._start

        def interrupted(claimed: Any) -> None:
            start(claimed)
            worker._interrupt(worker._attempts[claimed.lease], "shutdown")

        claimer._start = interrupted
        claimer.wake()
        await until(lambda: worker._attempts)
        worker.stop()
        worker.stop()
    assert await job.state() is JobState.COMPLETED
    back = await row(app, again.id)
    assert (back.state, back.attempt, back.crashes) == (JobState.AVAILABLE, 0, 0)


# --- signals ---


@pytest.mark.skipif(sys.platform == "win32", reason="signals as Unix has them")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_and_a_second_one_at_once(app: App, number: signal.Signals) -> None:
    job = await app.task(forever).enqueue()
    before = signal.getsignal(number)
    worker = app.worker(grace="1h")
    task = asyncio.create_task(worker.run())
    await until(lambda: worker._attempts)

    signal.raise_signal(number)
    await until(worker._stop.is_set)
    assert not task.done()
    signal.raise_signal(number)

    assert await asyncio.wait_for(task, PATIENCE) == number.name
    assert signal.getsignal(number) is before
    assert await job.state() is JobState.AVAILABLE


def test_outside_the_main_thread_signals_are_the_host_programs() -> None:
    app = App("memory://")
    app.task(echo)
    answers: list[str] = []

    def host() -> None:
        answers.append(asyncio.run(app.worker(drain_and_exit=True).run()))

    thread = threading.Thread(target=host)
    thread.start()
    thread.join(PATIENCE)
    assert answers == ["drained"]
