"""The connections of a PostgreSQL store: who gets which, and what becomes of one whose call was broken off."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tidewheel._store.postgres import pool as module
from tidewheel._store.postgres.pool import Pool


class Line:
    """A connection without a server."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.closed = False
        self.open_transaction = False
        self.said: list[str] = []
        self.answer = asyncio.Event()
        self.answer.set()

    def is_closed(self) -> bool:
        return self.closed

    def is_in_transaction(self) -> bool:
        return self.open_transaction

    async def execute(self, text: str) -> None:
        await self.answer.wait()
        self.said.append(text)
        self.open_transaction = False

    async def close(self) -> None:
        self.closed = True

    def terminate(self) -> None:
        self.closed = True


class Site:
    """A pool, and all connections that it opened."""

    def __init__(self, most: int = 2) -> None:
        self.lines: list[Line] = []
        self.away = False
        self.pool = Pool(self._connect, most)

    async def _connect(self) -> Any:
        await asyncio.sleep(0)
        if self.away:
            raise ConnectionRefusedError("nobody there")
        self.lines.append(Line(len(self.lines)))
        return self.lines[-1]

    async def use(self) -> int:
        return await self.pool.lend(_number)


async def _number(line: Any) -> int:
    await asyncio.sleep(0)
    return int(line.number)


async def _for_ever(_: Any) -> None:
    await asyncio.Event().wait()


async def broken_off(site: Site) -> None:
    """A call that is cancelled while it runs."""
    task = asyncio.create_task(site.pool.lend(_for_ever))
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_connection_used_last_is_used_next_and_no_other_is_opened() -> None:
    site = Site()
    assert await asyncio.gather(site.use(), site.use()) == [0, 1]
    assert [await site.use() for _ in range(3)] == [1, 1, 1]
    assert len(site.lines) == 2


async def test_no_more_are_open_than_may_be() -> None:
    site = Site(most=2)
    assert set(await asyncio.gather(*(site.use() for _ in range(20)))) == {0, 1}


async def test_one_that_is_open_already_is_used() -> None:
    site = Site()
    site.pool.add(Line(7))  # type: ignore[arg-type]
    assert await site.use() == 7


async def test_a_closed_one_is_not_used_again() -> None:
    site = Site()
    await site.use()
    site.lines[0].closed = True
    assert await site.use() == 1


async def test_one_that_nobody_used_for_long_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    await site.use()
    monkeypatch.setattr(module, "_IDLE", -1.0)
    assert await site.use() == 1
    assert site.lines[0].closed


async def test_a_server_that_is_away_takes_no_place() -> None:
    site = Site(most=1)
    site.away = True
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            await site.use()
    site.away = False
    assert await site.use() == 0


async def test_an_error_of_the_call_leaves_the_connection() -> None:
    site = Site(most=1)

    async def fail(_: Any) -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await site.pool.lend(fail)
    assert await site.use() == 0
    assert site.lines[0].said == []


async def test_a_transaction_that_was_left_open_ends_with_its_connection() -> None:
    site = Site(most=1)

    async def leave_open(line: Any) -> None:
        line.open_transaction = True

    await site.pool.lend(leave_open)
    assert site.lines[0].closed
    assert await site.use() == 1


async def test_after_a_call_that_was_broken_off_the_connection_is_calmed_before_it_is_used() -> None:
    site = Site(most=1)
    await site.use()
    site.lines[0].answer.clear()
    await broken_off(site)
    next_one = asyncio.create_task(site.use())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not next_one.done()
    site.lines[0].answer.set()
    assert await next_one == 0
    assert site.lines[0].said == ["SELECT 1"]


async def test_a_transaction_whose_end_was_broken_off_is_rolled_back() -> None:
    site = Site(most=1)
    await site.use()
    site.lines[0].open_transaction = True
    await broken_off(site)
    assert await site.use() == 0
    assert site.lines[0].said == ["ROLLBACK"]


async def test_a_connection_that_does_not_calm_down_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CALM", 0.0)
    site = Site(most=1)
    await site.use()
    site.lines[0].answer.clear()
    await broken_off(site)
    assert await site.use() == 1
    assert site.lines[0].closed


async def test_a_caller_that_gives_up_while_it_waits_for_a_place_takes_none() -> None:
    site = Site(most=1)
    busy = asyncio.create_task(site.pool.lend(_for_ever))
    await asyncio.sleep(0)
    await broken_off(site)
    busy.cancel()
    with pytest.raises(asyncio.CancelledError):
        await busy
    assert [await site.use() for _ in range(2)] == [0, 0]


async def test_closing_waits_for_those_that_are_calmed() -> None:
    site = Site()
    await asyncio.gather(site.use(), site.use())
    site.lines[1].answer.clear()
    await broken_off(site)
    closing = asyncio.create_task(site.pool.close())
    await asyncio.sleep(0)
    site.lines[1].answer.set()
    await closing
    assert all(line.closed for line in site.lines)


async def test_terminate_ends_all_of_them_also_those_in_use() -> None:
    site = Site()
    await site.use()
    busy = asyncio.create_task(site.pool.lend(_for_ever))
    await asyncio.sleep(0)
    await site.use()
    site.pool.terminate()
    assert all(line.closed for line in site.lines)
    busy.cancel()
    with pytest.raises(asyncio.CancelledError):
        await busy
