"""A master that is replaced or killed under load: what was answered with `wait_replicas=1` is not lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count

import pytest
from tests.chaos._load import Load
from tests.chaos._redis_kit import unharmed
from tests.servers import redis as servers
from tests.servers import sentinel
from tests.servers._process import wanted
from tests.servers.sentinel import Watched

_numbers = count()
pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module", params=servers.sources())
def watched(request: pytest.FixtureRequest) -> Iterator[Watched]:
    with wanted(sentinel.running(request.param)) as one:
        yield one


async def test_masters_that_are_replaced_and_killed_lose_nothing(watched: Watched) -> None:
    namespace = f"load{next(_numbers)}"
    await asyncio.to_thread(watched.wait)
    async with unharmed(f"{watched.url}?namespace={namespace}&wait_replicas=1&timeout=2s") as load:
        old = await asyncio.to_thread(watched.fail_over)  # it lives on, and takes what it will have to forget
        await asyncio.to_thread(watched.demote, old)
        await load.served()
        await asyncio.to_thread(watched.wait)
        dead = await asyncio.to_thread(watched.crash)
        await asyncio.to_thread(dead.start)  # empty: it keeps nothing on disk
        await asyncio.to_thread(watched.demote, dead)
    assert load.refusals, "the load has noticed nothing"


async def test_without_waiting_the_work_goes_on(watched: Watched) -> None:
    """Jobs of the last moment may be gone, but nobody is stuck, and nobody works for the old master."""
    namespace = f"load{next(_numbers)}"
    await asyncio.to_thread(watched.wait)
    async with Load(f"{watched.url}?namespace={namespace}&timeout=2s") as load:
        await load.served()
        old = await asyncio.to_thread(watched.fail_over)
        await asyncio.sleep(1)  # until the sentinels have told everybody; they demote it nine seconds later
        left = watched.ask(old, "HGET", f"{{{namespace}}}:meta", "seq")
        await load.served()
        assert watched.ask(old, "HGET", f"{{{namespace}}}:meta", "seq") == left, (
            "nobody writes to a master that was replaced"
        )
        await asyncio.to_thread(watched.demote, old)
    assert not load.doubled, "a claim that was lost is not handed out again under its lease"
