"""A claim of plain jobs has a script of its own, which does what the whole one does, or nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio
from tests.conformance._redis_kit import HOUR, job, new_name, opened
from tests.servers.redis import Redis

from tidewheel._model.enqueue_rule import Backlog
from tidewheel._model.flow import Flow, Pass, flow_text
from tidewheel._model.job import NewJob
from tidewheel._model.outcome import Complete, Settlement
from tidewheel._model.queue import QueueSettings
from tidewheel._model.worker import Want
from tidewheel._store.redis import RedisStore
from tidewheel._store.redis.habit import Habit

NOW: Final = 1_768_478_400_000_000
LIMITED: Final = flow_text(Flow((Pass("api", ""),)))
MANY: Final = [job(f"j{number:03}", priority=number % 3) for number in range(300)]


@pytest_asyncio.fixture
async def store(redis: Redis) -> AsyncIterator[RedisStore]:
    async with opened(f"{redis.url}?namespace={new_name()}") as one:
        yield one


async def contents(store: RedisStore) -> dict[str, Any]:
    """All keys of its namespace and what is in them; names without the namespace."""
    link, start = store._links, f"{{{store.options.namespace}}}:"
    found: dict[str, Any] = {}
    for name in await link.call("KEYS", f"{start.replace('{', '[{]').replace('}', '[}]')}*"):
        kind = await link.call("TYPE", name)
        read: dict[bytes, tuple[str | int, ...]] = {
            b"hash": ("HGETALL", name), b"set": ("SMEMBERS", name), b"zset": ("ZRANGE", name, 0, -1, "WITHSCORES"),
            b"list": ("LRANGE", name, 0, -1),
        }  # fmt: skip
        rows = await link.call(*read[kind])
        pairs = zip(rows[::2], rows[1::2], strict=True) if kind == b"hash" else rows
        found[name.decode().removeprefix(start)] = rows if kind in (b"zset", b"list") else sorted(pairs)
    return found


async def ask(store: RedisStore, name: str, wants: list[tuple[str, int]], **more: Any) -> Any:
    kinds, last_life = more.get("kinds", ["work"]), more.get("last_life", True)
    return await store._links.run(name, NOW, wants, kinds, "w", HOUR, last_life)


@pytest.mark.parametrize(
    ("jobs", "wants"),
    [
        ([], [("default", 5)]),
        ([job("a")], [("default", 5)]),
        ([job("a", tags=("x",), meta="{}", options="{}"), job("b")], [("default", 1)]),
        ([job("a", keep_completed=5, unique_key="k"), job("b", lifo=True), job("c", delay=9)], [("default", 5)]),
        ([job("a"), job("b", queue="other"), job("c", queue="other")], [("other", 1), ("default", 1), ("none", 3)]),
        ([job("a"), job("b", kind="unknown")], [("default", 5)]),
        ([job("a")], [("default", 0)]),
        (MANY, [("default", 250)]),
        (MANY, [("default", 300)]),
        ([job("a", lead=5)], [("default", 5)]),
    ],
)
async def test_it_hands_out_and_writes_the_same(redis: Redis, jobs: list[NewJob], wants: list[tuple[str, int]]) -> None:
    found = []
    for name in ("claim_plain", "claim"):
        async with opened(f"{redis.url}?namespace={new_name()}") as one:
            if jobs:
                await one.enqueue(jobs, now=NOW)
            answers = [await ask(one, name, wants) for _ in range(2)]
            found.append((answers, await contents(one)))
    assert found[0] == found[1]


async def test_paused_queues_give_nothing_to_either(store: RedisStore) -> None:
    await store.enqueue([job("a")], now=NOW)
    await store.put_queues([QueueSettings(name="default", paused=True)])
    before = await contents(store)
    assert [await ask(store, name, [("default", 5)]) for name in ("claim_plain", "claim")] == [[], []]
    assert await contents(store) == before


@pytest.mark.parametrize(
    "odd",
    [
        job("odd", flow=LIMITED),
        job("odd", expires_in=HOUR),
        job("odd", backlog=Backlog("pile", 5)),
        job("odd", kind="another"),
    ],
    ids=["a limit", "an expiry", "a backlog", "two kinds"],
)
async def test_it_leaves_all_of_them_alone_where_one_takes_more(store: RedisStore, odd: NewJob) -> None:
    await store.enqueue([job("a"), odd, job("b", queue="other")], now=NOW)
    before = await contents(store)
    assert await ask(store, "claim_plain", [("other", 5), ("default", 5)], kinds=["work", "another"]) is None
    assert await contents(store) == before
    found = await store.claim(
        [Want("other", 5), Want("default", 5)], kinds=["work", "another"], worker="w", lease=HOUR, now=NOW
    )
    assert {one.id for one in found} >= {"a", "b"}


async def test_it_leaves_last_lives_and_damage_to_the_whole_one(store: RedisStore) -> None:
    await store.enqueue([job("a", max_crashes=2, max_attempts=5)], now=NOW)
    (once,) = await store.claim([Want("default", 5)], kinds=["work"], worker="w", lease=1, now=NOW)
    await store.sweep(now=NOW + 5)
    assert await ask(store, "claim_plain", [("default", 5)]) is None
    assert await ask(store, "claim_plain", [("default", 5)], last_life=False) == []
    (again,) = await store.claim([Want("default", 5)], kinds=["work"], worker="w", lease=HOUR, now=NOW + 5)
    assert again.id == once.id
    await store.settle([Settlement(again.lease, Complete("1"))], now=NOW + 6)
    await store.enqueue([job("b")], now=NOW)
    await store._links.call("HDEL", f"{{{store.options.namespace}}}:job:b", "h")
    assert await ask(store, "claim_plain", [("default", 5)]) is None
    assert await store.claim([Want("default", 5)], kinds=["work"], worker="w", lease=HOUR, now=NOW + 6) == []


async def test_a_queue_that_is_named_twice_is_not_handed_out_twice(store: RedisStore) -> None:
    await store.enqueue([job("a"), job("b"), job("c")], now=NOW)
    assert await ask(store, "claim_plain", [("default", 1), ("default", 1)]) is None
    wants = [Want("default", 1), Want("default", 1)]
    assert len(await store.claim(wants, kinds=["work"], worker="w", lease=HOUR, now=NOW)) == 2


def test_after_something_unusual_the_whole_one_is_asked_for_a_while() -> None:
    habit = Habit()
    assert habit.plain()
    habit.unusual()
    asked = []
    for _ in range(120):
        asked.append(habit.plain())
        habit.unusual()  # as every claim says that has gone the long way
    assert [number for number, plain in enumerate(asked) if plain] == [49, 99]
