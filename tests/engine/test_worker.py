"""A worker's life: starting, working, and all the ways to end it."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
import time
from typing import Any

import pytest
from tests.engine._kit import PATIENCE, Blocker, Ears, faulty_app, row, run_all, running, until

from tidewheel import (
    App,
    Cancel,
    JobState,
    Retry,
    RetryPolicy,
    Snooze,
    StoreError,
    StoreUnavailable,
    current_job,
    fixed,
)
from tidewheel._engine import keeper as keeper_module
from tidewheel._engine import patience as patience_module
from tidewheel._engine.keeper import Keeper
from tidewheel._engine.memory import resident
from tidewheel._engine.patience import Patience
from tidewheel._engine.worker import Worker
from tidewheel._model.duration import SECOND


async def echo(value: int) -> int:
    return value


async def forever() -> None:
    await asyncio.Event().wait()


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
        await asyncio.sleep(0.001)
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


async def test_a_paused_queue_waits_and_a_resumed_one_goes_on(app: App) -> None:
    task = app.task(echo)
    await app.queues.pause("default")
    job, ears = await task.enqueue(1), Ears(app, "job.started")

    async with running(app, poll=0.01):
        await (await task.options(queue="default").enqueue(2)).state()
        await asyncio.sleep(0.03)
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


# --- ending ---


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


@pytest.mark.parametrize("where", ["loop", "thread"])
async def test_after_the_grace_jobs_are_handed_back_and_no_attempt_is_burned(app: App, where: str) -> None:
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
    monkeypatch.setattr("tidewheel._engine.worker.resident", lambda: 1 << 30)
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
    store.gates["claim"] = gate = asyncio.Event()
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


# --- failing loudly ---


async def fails(worker: Worker, error: str) -> None:
    with pytest.raises(StoreError, match=error):
        await asyncio.wait_for(worker.run(), PATIENCE)


@pytest.mark.parametrize("operation", ["claim", "sweep", "beat", "wakeups"])
async def test_a_store_that_cannot_be_used_ends_the_worker_loudly(operation: str) -> None:
    """And what ran is handed back: there is nobody to keep its lease."""
    app, store = faulty_app()
    job = await app.task(forever).enqueue()
    worker = app.worker(signals=False, poll=0.01, grace="1h")
    if operation == "wakeups":
        store.before[operation] = [StoreError("damaged")]
        return await fails(worker, "damaged")
    task = asyncio.create_task(worker.run())
    await until(lambda: worker._attempts)
    store.before[operation] = [StoreError("damaged")]
    if operation == "beat":
        worker._keeper.hurry()
    else:
        await app.tasks["forever"].options(delay=0.001).enqueue()  # something to sweep and to claim

    with pytest.raises(StoreError, match="damaged"):
        await asyncio.wait_for(task, PATIENCE)
    back = await row(app, job.id)
    assert (back.state, back.attempt) == (JobState.AVAILABLE, 0)
    assert [one for one in threading.enumerate() if one.name == "tidewheel-keeper"] == []
    return None


async def test_a_keeper_that_fails_says_so(caplog: pytest.LogCaptureFixture) -> None:
    app, store = faulty_app()
    app.task(echo)
    worker = app.worker(signals=False)
    task = asyncio.create_task(worker.run())
    await until(lambda: store.calls["claim"])
    store.before["beat"] = [ZeroDivisionError("a bug")]
    worker._keeper.hurry()
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(task, PATIENCE)
    assert "The keeper stopped (ZeroDivisionError('a bug')): leases are not extended any more" in caplog.text


async def test_a_first_beat_that_fails_for_good_is_no_start() -> None:
    app, store = faulty_app()
    app.task(echo)
    store.before["beat"] = [StoreError("read only")]
    ears = Ears(app, "worker.started")
    await fails(app.worker(signals=False), "read only")
    assert ears.heard == []
    assert store.calls["claim"] == 0


async def test_stopping_while_the_store_is_away_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(patience_module, "_FIRST", 0.001)
    monkeypatch.setattr(patience_module, "_LONGEST", 0.002)
    app, store = faulty_app()
    leave = asyncio.Event()
    app.task(leave.wait)
    job = await app.tasks["wait"].enqueue()
    with caplog.at_level(logging.INFO):
        async with running(app, poll=0.01) as worker:
            await until(lambda: worker._attempts)
            store.away |= {"claim", "beat", "sweep", "settle"}
            worker._keeper.hurry()
            await until(lambda: store.calls["claim"] > 5)
            leave.set()
            worker.stop()
            worker.stop()
    assert "1 outcomes could not be written" in caplog.text
    assert [record for record in caplog.records if record.levelno >= logging.CRITICAL] == []
    assert await job.state() is JobState.RUNNING  # it comes back when its lease ends


# --- the keeper ---


@pytest.mark.slow
async def test_a_blocked_loop_keeps_its_leases_and_the_blocking_task_is_named(
    app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Handlers that block the loop are a mistake, and not a reason to run their jobs twice."""
    monkeypatch.setattr(keeper_module, "_LAG", 0.05)
    rescued: list[int] = []
    store = await app.opened()

    @app.task
    async def blocks() -> int:
        for _ in range(4):
            time.sleep(0.11)  # noqa: ASYNC251 -- what is tested
            report = await asyncio.create_task(store.sweep())  # as another worker would
            rescued.append(report.rescued)
        return current_job().epoch

    ears = Ears(app, "worker.lag")
    job = await blocks.enqueue()
    async with running(app, short_lease=0.2):
        assert await job.result(PATIENCE) == 1
        lag = await ears.next("worker.lag")
    assert lag.data["task"] == f"blocks {job.id}"
    assert lag.data["seconds"] >= 0.05
    assert rescued == [0] * 4
    assert (await row(app, job.id)).crashes == 0
    assert "The event loop was blocked for" in caplog.text


@pytest.mark.slow
async def test_a_lease_is_kept_while_the_loop_is_blocked(app: App) -> None:
    store = await app.opened()
    rescued: list[int] = []

    def other_worker() -> None:
        rescued.append(asyncio.run(store.sweep()).rescued)

    @app.task
    async def blocks() -> int:
        sweeping = threading.Timer(0.35, other_worker)
        sweeping.start()
        time.sleep(0.45)  # noqa: ASYNC251 -- what is tested
        sweeping.join()
        return current_job().epoch

    job = await blocks.enqueue()
    async with running(app, short_lease=0.2):
        assert await job.result(PATIENCE) == 1
    assert rescued == [0]


async def test_a_keeper_whose_loop_was_closed_lets_go(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host program that drops its loop with a worker in it: leases must not be kept for ever."""
    monkeypatch.setattr(keeper_module, "_LAG", 0.01)
    store = await app.opened()
    app.task(echo)

    def host() -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(start())
        loop.close()

    async def start() -> None:
        keeper = Keeper(
            store,
            Patience(app.env.random, app.telemetry),
            info=app.worker()._info,
            attempts=list,
            told=lambda attempt, answer: None,
            lagging=lambda lag, name: None,
            lease=30 * SECOND,
        )
        await keeper.start(asyncio.Event())
        keepers.append(keeper)

    keepers: list[Keeper] = []
    await asyncio.to_thread(host)
    await asyncio.to_thread(keepers[0]._thread.join, PATIENCE)
    assert not keepers[0]._thread.is_alive()


async def test_store_errors_at_the_first_beat_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience_module, "_FIRST", 0.001)
    app, store = faulty_app()
    job = await app.task(echo).enqueue(1)
    store.before["beat"] = [StoreUnavailable("starting up")] * 3
    async with running(app):
        assert await job.result(PATIENCE) == 1
