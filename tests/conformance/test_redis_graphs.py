"""Graphs in the Redis store: what older workers and damage leave behind, and that a refused call leaves nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Final, cast

import pytest
import pytest_asyncio
import redis as driver
from tests.conformance._redis_kit import HOUR, claim, job, new_name, opened
from tests.servers.redis import Redis

from tidewheel._model.after import After
from tidewheel._model.duration import SECOND
from tidewheel._model.enqueue_rule import Backlog, EnqueueRule
from tidewheel._model.flow import Flow, Pass, flow_text
from tidewheel._model.limit import LimitRow, Rule
from tidewheel._model.outcome import Cancelled, Complete, Settlement
from tidewheel._model.query import Action
from tidewheel._model.retention import Retention, RetentionRule, keep
from tidewheel._model.state import JobState
from tidewheel._model.worker import Want
from tidewheel._store.redis import RedisStore

RETENTION: Final = [RetentionRule("nothing", None, Retention())]
PRUNE_ALL: Final = [RetentionRule("work", None, Retention(completed=keep(0), failed=keep(0)))]
CANCEL: Final = EnqueueRule(key="k", on_conflict="cancel")


@pytest_asyncio.fixture
async def store(redis: Redis) -> AsyncIterator[RedisStore]:
    async with opened(f"{redis.url}?namespace={new_name()}") as one:
        yield one


async def raw(store: RedisStore, word: str, name: str, *more: str | bytes) -> Any:
    return await store._links.call(word, f"{{{store.options.namespace}}}:{name}", *more)


async def family(store: RedisStore, **changes: Any) -> None:
    """A parent that waits for two children."""
    await store.enqueue([job("a"), job("b"), job("p", after=[After("a"), After("b")], **changes)])


async def end(store: RedisStore, *ids: str) -> None:
    claimed = await store.claim([Want("default", 9)], kinds=["work"], worker="w", lease=HOUR)
    assert {one.id for one in claimed} >= {*ids}
    await store.settle([Settlement(one.lease, Complete("1")) for one in claimed])


async def states(store: RedisStore, *ids: str) -> list[JobState | None]:
    return [row.state if row else None for row in await store.get(ids)]


# --- what is damaged, or done by workers that know no graphs ---


async def test_ends_that_nobody_told_are_found(store: RedisStore) -> None:
    """A worker of a version without graphs ends a child."""
    await family(store)
    await raw(store, "DEL", "awaited")
    await end(store, "a", "b")
    await raw(store, "SADD", "awaited", "a", "b")
    await store.sweep()
    assert await states(store, "p") == [JobState.PARKED]
    await store.sweep(retention=RETENTION)
    assert await claim(store) == ["p"]
    assert [edge.result for edge in await store.edges(["p"])] == ["1", "1"]
    assert await raw(store, "EXISTS", "awaited") == 0


async def test_a_child_of_which_nothing_is_left_counts_as_cancelled(store: RedisStore) -> None:
    await family(store, on_dead="tell")
    await raw(store, "DEL", "job:a")
    await store.sweep(retention=RETENTION)
    (parent,) = await store.get(["p"])
    assert parent
    assert parent.error
    assert (parent.state, parent.error.type) == (JobState.DISCARDED, "tidewheel.ChildFailed")
    told = await store.claim([Want("default", 9)], kinds=["tell"], worker="w", lease=HOUR)
    assert [one.args for one in told] == ['{"job_id":"p"}']


async def test_a_child_that_cannot_be_read_is_told_of(store: RedisStore) -> None:
    await family(store)
    await raw(store, "HSET", "job:a", "h", "nonsense")
    assert await claim(store) == ["b"]
    await store.sweep(retention=RETENTION)
    assert await states(store, "a", "p") == [JobState.DISCARDED, JobState.DISCARDED]


async def test_an_edge_that_cannot_be_read_holds_nobody(store: RedisStore) -> None:
    await family(store)
    await raw(store, "HSET", "edges:p", "a", "nonsense")
    await end(store, "a", "b")
    assert await claim(store) == ["p"]


async def test_nothing_is_left_of_a_graph_that_is_gone(redis: Redis, store: RedisStore) -> None:
    await family(store)
    await store.enqueue([job("q", after=[After("p")]), job("r", after=[After("b")])])
    await store.alter(["q"], Action.DELETE)
    for ids in (["a", "b"], ["p", "r"]):
        await end(store, *ids)
    await store.sweep(retention=PRUNE_ALL)
    assert everything(redis, store) == {}


# --- a call that is refused ---


def everything(redis: Redis, store: RedisStore) -> dict[str, Any]:
    """All keys but `meta`, sets without their order."""
    found: dict[str, Any] = {}
    with driver.Redis(port=redis.port) as link:
        read: dict[bytes, Callable[[bytes], Any]] = {
            b"hash": link.hgetall,
            b"zset": lambda key: link.zrange(key, 0, -1, withscores=True),
            b"set": link.smembers,
            b"list": lambda key: link.lrange(key, 0, -1),
        }
        for key in cast("list[bytes]", link.keys(f"{{{store.options.namespace}}}:*")):
            name = key.decode().partition(":")[2]
            if name != "meta":
                found[name] = read[cast("bytes", link.type(key))](key)
    return found


async def test_a_refused_call_leaves_everything_as_it_was(redis: Redis, store: RedisStore) -> None:
    """Whatever its jobs before the one that is refused did, and however much that was."""
    await store.put_limits([LimitRow(name="api", declared=Rule(slots=1))], declared=True)
    api = flow_text(Flow((Pass("api"),)))
    await store.enqueue(
        [
            job("runs", flow=api),
            job("holder", rule=CANCEL, flow=api, unique_key="u"),
            job("parent", after=[After("holder")], on_dead="tell", rule=EnqueueRule(key="parent")),
            *(job(f"waits-{number}", backlog=Backlog("b", 3), expires_in=HOUR, flow=api) for number in range(3)),
            job("late", delay=HOUR, rule=EnqueueRule(key="late")),
            job("parked", flow=api, rule=EnqueueRule(key="parked")),
        ]
    )
    await store.claim([Want("default", 1)], kinds=["work"], worker="w", lease=HOUR)
    await claim(store)
    before = everything(redis, store)
    change = {"scheduled": ("args", "meta", "tags", "priority", "run_at"), "available": ("args", "priority")}
    replace: dict[str, Any] = {"on_conflict": "replace", "replace": change}
    calls = [
        job("new", rule=CANCEL, tags=["t"], meta="{}", unique_key="v"),
        job("more", backlog=Backlog("b", 2, drop_oldest=True), on_dead="tell"),
        job("sooner", rule=EnqueueRule(key="late", **replace), tags=["t"], meta="{}", args="[1]"),
        job("other", rule=EnqueueRule(key="parked", **replace), priority=1, expires_in=SECOND),
        job("window", rule=EnqueueRule(key="w", count=1, period=HOUR)),
        job("ends", after=[After("new"), After("late")]),
        *(job(f"many-{number}") for number in range(300)),
    ]
    with pytest.raises(ValueError, match="The job last would wait for nobody, which does not exist"):
        await store.enqueue([*calls, job("last", after=[After("nobody")])])
    assert everything(redis, store) == before
    with pytest.raises(ValueError, match="would wait for itself"):
        await store.enqueue([*calls, job("last", after=[After("last")])])
    assert everything(redis, store) == before
    answers = await store.enqueue(calls)
    assert sum(one.inserted for one in answers) == 304
    assert await states(store, "holder", "parent") == [JobState.CANCELLED, JobState.DISCARDED]
    assert [one.did for one in answers[2:4]] == ["replaced", "replaced"]


async def test_ids_for_what_is_given_up_are_asked_for(store: RedisStore) -> None:
    """However many parents a call gives up, each has its dead letter told, and no id is wasted."""
    made = list(range(100))
    store._spare_ids.extend(f"made-{number}" for number in made)
    await store.enqueue([job("a", rule=CANCEL), job("b"), job("c"), job("d", expires_in=SECOND)])
    for child in "abcd":
        await store.enqueue([job(f"{child}-{number}", after=[After(child)], on_dead="tell") for number in range(3)])
    await store.enqueue([job("a2", rule=CANCEL)])
    await store.alter(["b"], Action.CANCEL)
    leases = [one.lease for one in await store.claim([Want("default", 9)], kinds=["work"], worker="w", lease=HOUR)]
    assert await states(store, "c") == [JobState.RUNNING]
    await store.settle([Settlement(lease, Cancelled()) for lease in leases if lease.job_id == "c"])
    assert (await store.sweep()).expired == 0
    await store.enqueue(
        [job("e", expires_in=1), *(job(f"e-{n}", after=[After("e")], on_dead="tell") for n in range(3))]
    )
    assert (await store.sweep()).expired == 1
    told = await store.claim([Want("default", 99)], kinds=["tell"], worker="w", lease=HOUR)
    assert sorted(one.id for one in told) == sorted(f"made-{number}" for number in range(12))
    assert store._spare_ids[0] == "made-12"
