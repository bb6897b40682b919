"""A store that is away: waited for, said once, and once more when it is back for everybody."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.engine._kit import PATIENCE, Ears

from tidewheel import App, Event, StoreError, StoreFull, StoreUnavailable
from tidewheel._engine import patience as module
from tidewheel._engine.patience import Patience


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST", 0.001)
    monkeypatch.setattr(module, "_LONGEST", 0.002)


def failing(times: int, error: Exception | None = None) -> Callable[[], Coroutine[Any, Any, str]]:
    left = times

    async def call() -> str:
        nonlocal left
        if left:
            left -= 1
            raise error or StoreUnavailable("no answer")
        return "answer"

    return call


async def test_what_works_is_called_once(app: App, caplog: pytest.LogCaptureFixture) -> None:
    assert await Patience(random.Random(0), app.telemetry).insist(failing(0)) == "answer"
    assert caplog.records == []


@pytest.mark.parametrize("error", [StoreUnavailable("no answer"), StoreFull("no room")])
async def test_it_is_waited_for_and_said_once(app: App, caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    ears = Ears(app, "store.unavailable", "store.back")
    patience = Patience(random.Random(0), app.telemetry)

    with caplog.at_level(logging.INFO, logger="tidewheel"):
        answers = await asyncio.gather(*(patience.insist(failing(5, error)) for _ in range(3)))

    assert answers == ["answer"] * 3
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert str(error) in caplog.text
    assert (await ears.next("store.unavailable")).data == {"error": str(error)}
    assert await ears.next("store.back")


async def test_it_is_back_when_it_is_back_for_everybody(app: App) -> None:
    """One operation that keeps failing while others work is one absence, not a flood of messages."""
    ears = Ears(app, "store.unavailable", "store.back")
    patience = Patience(random.Random(0), app.telemetry)

    stuck = asyncio.create_task(patience.insist(failing(-1)))
    for _ in range(5):
        await patience.insist(failing(1))
    assert ears.names() == ["store.unavailable"]

    stuck.cancel()
    await asyncio.wait({stuck})
    await patience.insist(failing(1))
    assert await ears.next("store.back")


async def test_an_error_that_does_not_pass_is_not_repeated(app: App) -> None:
    patience = Patience(random.Random(0), app.telemetry)
    with pytest.raises(StoreError, match="damaged"):
        await patience.insist(failing(1, StoreError("damaged")))
    with pytest.raises(ZeroDivisionError):
        await patience.insist(failing(1, ZeroDivisionError()))


async def test_it_may_be_given_up(app: App) -> None:
    asked = iter([False, False, True])
    patience = Patience(random.Random(0), app.telemetry)

    with pytest.raises(StoreUnavailable):
        await patience.insist(failing(10), lambda: next(asked))
    assert next(asked, "asked three times") == "asked three times"


async def test_pauses_grow_to_a_bound_and_are_jittered(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(module, "_FIRST", 0.05)
    monkeypatch.setattr(module, "_LONGEST", 2.0)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    await Patience(random.Random(0), app.telemetry).insist(failing(9))

    steps = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]
    assert all(step * 0.5 <= pause <= step * 1.5 for step, pause in zip(steps, pauses, strict=True))
    assert len(set(pauses[-3:])) == 3


async def test_listeners_are_called_in_the_workers_loop_whoever_noticed(app: App) -> None:
    threads: list[int] = []

    def listener(event: Event) -> None:
        threads.append(threading.get_ident())

    app.on("store.unavailable", listener)
    app.on("store.back", listener)
    patience = Patience(random.Random(0), app.telemetry)

    await asyncio.wait_for(
        asyncio.to_thread(lambda: asyncio.run(patience.insist(failing(2)))),
        PATIENCE,
    )
    await asyncio.sleep(0)
    assert threads == [threading.get_ident()] * 2
