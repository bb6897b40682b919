"""A worker whose store is away when it starts: it waits, says so, and has its limit."""

from __future__ import annotations

import asyncio
import logging
import os
import signal

import pytest
from tests.engine._kit import PATIENCE, running, until

from tidewheel import App, Env, StoreError, StoreUnavailable
from tidewheel._engine import patience as patience_module
from tidewheel._store.memory import MemoryStore


class Late(MemoryStore):
    """Cannot be opened before so many tries."""

    def __init__(self, tries: int, error: type[StoreError] = StoreUnavailable) -> None:
        super().__init__(Env())
        self.tries = tries
        self.asked = 0
        self._error = error

    async def open(self) -> None:
        self.asked += 1
        if self.asked <= self.tries:
            raise self._error("nobody is there")
        await super().open()


class OfTwoThreads(Late):
    """Its sibling for the keeper's thread is late, too."""

    def sibling(self) -> Late:
        self.twin = Late(3)
        self.twin._rows = self._rows
        return self.twin


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience_module, "_FIRST", 0.001)
    monkeypatch.setattr(patience_module, "_LONGEST", 0.002)


async def echo(value: int) -> int:
    return value


def app_on(store: MemoryStore) -> App:
    app = App("memory://")
    app._store = store
    app.task(echo)
    return app


async def test_a_store_that_comes_late_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    app = app_on(Late(3))
    with caplog.at_level(logging.INFO, logger="tidewheel"):
        async with running(app):
            job = await app.tasks["echo"].enqueue(5)
            assert await job.result(timeout=PATIENCE) == 5
    assert "The store is away; trying again until it is back, for 1m at most. nobody is there" in caplog.text
    assert "The store is back" in caplog.text


async def test_the_keeper_waits_for_its_own_connection() -> None:
    store = OfTwoThreads(0)
    async with running(app_on(store)):
        assert store.twin.asked == 4


async def test_it_is_not_waited_for_longer_than_was_said() -> None:
    store = Late(1_000_000)
    with pytest.raises(StoreUnavailable, match="nobody is there"):
        await asyncio.wait_for(app_on(store).worker(wait="50ms").run(), PATIENCE)
    assert store.asked > 1


async def test_who_does_not_want_to_wait_does_not() -> None:
    store = Late(1)
    with pytest.raises(StoreUnavailable):
        await app_on(store).worker(wait=0).run()
    assert store.asked == 1


async def test_a_worker_that_could_not_start_may_be_started_again() -> None:
    app = app_on(Late(1))
    worker = app.worker(wait=0, signals=False, drain_and_exit=True)
    with pytest.raises(StoreUnavailable):
        await worker.run()
    assert await worker.run() == "drained"


async def test_what_does_not_pass_by_waiting_is_said_at_once() -> None:
    store = Late(1, StoreError)
    with pytest.raises(StoreError):
        await app_on(store).worker().run()
    assert store.asked == 1


@pytest.mark.parametrize("by", ["call", "SIGTERM"])
async def test_who_waits_can_be_stopped(by: str) -> None:
    store = Late(1_000_000)
    worker = app_on(store).worker(signals=by == "SIGTERM")
    task = asyncio.create_task(worker.run())
    await until(lambda: store.asked > 1)
    if by == "call":
        worker.stop()
    else:
        os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(task, PATIENCE) == ("stop" if by == "call" else "SIGTERM")
