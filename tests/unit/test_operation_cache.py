"""Cached fetches of the operation runner: time, room, and one fetch at a time for a key."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import AsyncMock

import pytest

from tidewheel._operations import OperationConfig, OperationRunner
from tidewheel.testing import FakeClock, fake_env


def make(clock: FakeClock | None = None, **settings: Any) -> OperationRunner:
    return OperationRunner(OperationConfig(**settings), env=fake_env(clock), sleep=lambda _seconds: asyncio.sleep(0))


async def add(left: int, *, right: int = 0) -> int:
    return left + right


async def test_a_value_is_kept_for_its_time() -> None:
    clock = FakeClock()
    start = clock()
    runner, rates = make(clock), AsyncMock(side_effect=[1, 2])
    assert await runner.fetch("rates", "1m", rates) == 1
    clock.advance(59.9)
    assert await runner.fetch("rates", "1m", rates) == 1
    entry = runner.cached("rates")
    assert entry is not None
    assert (entry.value, entry.expires_at) == (1, start + 60_000_000)
    clock.advance(0.1)
    assert runner.cached("rates") is None
    assert await runner.fetch("rates", "1m", rates) == 2


async def test_a_fetch_is_retried_and_its_failure_not_kept() -> None:
    runner, operation = make(retries=1), AsyncMock(side_effect=[OSError("down")] * 3 + ["fine"])
    with pytest.raises(OSError, match="down"):
        await runner.fetch("key", 60, operation)
    assert runner.cached("key") is None
    assert await runner.fetch("key", 60, operation) == "fine"
    assert operation.await_count == 4


async def test_callers_at_the_same_time_share_one_run() -> None:
    runner, gate, calls = make(), asyncio.Event(), 0

    async def load() -> object:
        nonlocal calls
        calls += 1
        await gate.wait()
        return object()

    tasks = [asyncio.create_task(runner.fetch("key", 60, load)) for _ in range(5)]
    other = asyncio.create_task(runner.fetch("other", 60, load))
    await asyncio.sleep(0)
    gate.set()
    assert len({id(value) for value in await asyncio.gather(*tasks)}) == 1
    assert await other is not await tasks[0]
    assert calls == 2


async def test_all_who_wait_get_the_failure() -> None:
    runner, operation = make(retries=0), AsyncMock(side_effect=OSError("down"))
    runs = (runner.fetch("key", 60, operation) for _ in range(3))
    assert [str(error) for error in await asyncio.gather(*runs, return_exceptions=True)] == ["down"] * 3
    assert operation.await_count == 1


async def test_a_caller_that_leaves_does_not_take_the_fetch_along_but_the_last_one_does() -> None:
    runner, gate, cancelled = make(), asyncio.Event(), []

    async def load() -> str:
        try:
            await gate.wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return "value"

    first, second = (asyncio.create_task(runner.fetch("key", 60, load)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    assert cancelled == []
    gate.set()
    assert await second == "value"

    gate.clear()
    runner.clear_cache()
    alone = asyncio.create_task(runner.fetch("key", 60, load))
    for _ in range(3):
        await asyncio.sleep(0)
    alone.cancel()
    await asyncio.wait([alone])
    gate.set()
    assert await runner.fetch("key", 60, load) == "value"
    assert cancelled == [True]


async def test_what_is_forgotten_during_its_fetch_is_not_kept() -> None:
    runner, gate = make(), asyncio.Event()

    async def load(value: str) -> str:
        await gate.wait()
        return value

    old = asyncio.create_task(runner.fetch("key", 60, load, "old"))
    await asyncio.sleep(0)
    assert not runner.forget("key")
    new = asyncio.create_task(runner.fetch("key", 60, load, "new"))
    await asyncio.sleep(0)
    gate.set()
    assert (await old, await new) == ("old", "new")
    entry = runner.cached("key")
    assert entry is not None
    assert entry.value == "new"
    assert runner.forget("key")
    assert runner.cached("key") is None


async def test_the_one_unused_for_longest_goes_first() -> None:
    runner = make(cache_size=2)
    for key in ("a", "b", "a", "c"):
        await runner.fetch(key, 60, add, 1)
    assert [key for key in "abc" if runner.cached(key)] == ["a", "c"]
    assert runner.metrics.cache_size == 2


def test_a_fetch_of_a_closed_loop_is_not_waited_for() -> None:
    runner = make()

    async def leave() -> None:
        task = asyncio.create_task(runner.fetch("key", 60, asyncio.Event().wait))
        await asyncio.sleep(0)
        assert not task.done()

    asyncio.run(leave())
    assert asyncio.run(runner.fetch("key", 60, add, 1)) == 1
