"""The keeper, and what a worker does when a part of it or the store fails for good."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest
from tests.engine._kit import PATIENCE, Ears, faulty_app, row, running, until

from tidewheel import (
    App,
    JobState,
    StoreError,
    StoreUnavailable,
    current_job,
)
from tidewheel._engine import keeper as keeper_module
from tidewheel._engine import patience as patience_module
from tidewheel._engine.keeper import Keeper
from tidewheel._engine.patience import Patience
from tidewheel._engine.worker import Worker
from tidewheel._model.duration import SECOND

A_BLOCK = 0.11
"""Seconds for which a handler blocks the event loop, four times: more than the lease of these tests in all."""


async def echo(value: int) -> int:
    return value


async def forever() -> None:
    await asyncio.Event().wait()


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
            time.sleep(A_BLOCK)  # noqa: ASYNC251 -- what is tested
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
        time.sleep(4 * A_BLOCK)  # noqa: ASYNC251 -- what is tested
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
