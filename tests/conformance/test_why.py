"""`why` is true, on every store: remove the reason it names, and nothing else, and the job runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conformance._why_kit import World
from tests.conformance._why_worlds import SOON, WORLDS, Make
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis

from tidewheel._model.after import After
from tidewheel._model.flow import Pass
from tidewheel._model.limit import PAUSED
from tidewheel._model.outcome import RetryLater
from tidewheel._model.query import Action
from tidewheel._model.queue import QueueSettings
from tidewheel._store.base import Store
from tidewheel._store.memory import MemoryStore
from tidewheel._store.postgres import PostgresStore
from tidewheel._store.redis import RedisStore
from tidewheel._store.sqlite import SqliteStore
from tidewheel.testing import FakeClock, fake_env
from tidewheel.testing.conformance.kit import BOOM, HOUR, MINUTE, Kit, StoreMaker, flow

STORES: Final = ("memory", "sqlite", "postgres", "redis")


@pytest.fixture(params=STORES)
def make_store(request: pytest.FixtureRequest, tmp_path: Path, new_schema: Callable[[], str]) -> StoreMaker:
    if request.param == "postgres":
        postgres: Postgres = request.getfixturevalue("newest_postgres")
        return lambda env: PostgresStore(f"{postgres.url}?schema={new_schema()}", env)
    if request.param == "redis":
        redis: Redis = request.getfixturevalue("redis")
        return lambda env: RedisStore(f"{redis.url}?namespace={new_schema()}", env)
    return (lambda env: SqliteStore(str(tmp_path / "jobs.db"), env)) if request.param == "sqlite" else MemoryStore


@pytest.fixture
async def world(make_store: StoreMaker) -> AsyncIterator[World]:
    clock = FakeClock()
    store: Store = make_store(fake_env(clock))
    await store.open()
    yield World(Kit(store, clock))
    await store.close()


@pytest.mark.parametrize(("make", "code"), WORLDS.items(), ids=[make.__name__ for make in WORLDS])
async def test_the_job_runs_when_the_reason_is_gone(world: World, make: Make, code: str) -> None:
    job_id, words = await make(world)
    answer = await world.why(job_id)
    assert answer.code == code, answer
    for word in words:
        assert word in answer.text, answer.text
    await world.remove(job_id, answer)
    await world.turn()
    assert await world.runs(job_id)
    assert (await world.why(job_id)).code == "running"


@pytest.mark.parametrize("make", [one for one in WORLDS if one not in SOON], ids=lambda make: make.__name__)
async def test_it_does_not_run_while_the_reason_is_there(world: World, make: Make) -> None:
    job_id, _ = await make(world)
    await world.turn()
    assert not await world.runs(job_id)


@pytest.mark.parametrize("make", SOON, ids=lambda make: make.__name__)
async def test_where_nothing_is_in_the_way_it_runs_by_itself(world: World, make: Make) -> None:
    job_id, _ = await make(world)
    await world.turn()
    assert await world.runs(job_id)


async def test_what_may_not_start_any_more(world: World) -> None:
    """Removing the reason would take a clock that runs backward."""
    await world.hire()
    first, second = [await world.kit.put(expires_in=MINUTE, delay=delay) for delay in (0, HOUR)]
    world.kit.clock.advance("2m")
    await world.beat()
    for one in (first, second):
        answer = await world.why(one)
        assert (answer.code, answer.until) == ("expired", None)
        assert "its time was over, 1m ago (" in answer.text
    await world.kit.claim(5)
    assert (await world.why(first)).code == "expired"
    await world.turn()
    for one in (first, second):
        assert "was cancelled now (2026-01-15 12:02:00 UTC) (tidewheel.Expired:" in (await world.why(one)).text


async def test_a_parent_that_was_given_up(world: World) -> None:
    child = await world.kit.put()
    parent = await world.kit.put(after=(After(child),))
    await world.kit.alter(Action.CANCEL, child)
    answer = await world.why(parent)
    assert answer.code == "ended"
    assert "before it started: tidewheel.ChildFailed: It waited for" in answer.text
    assert f"tidewheel jobs retry --graph {parent}" in answer.text


async def test_a_long_line_of_one_moment(world: World) -> None:
    """Only the order of the pages says which was first; and no more than a thousand before it are looked at."""
    await world.hire()
    ids = [one.id for one in await world.kit.enqueue(*(world.kit.new() for _ in range(2500)))]
    near = await world.why(ids[50])
    assert near.holders == tuple(ids[:50])
    assert f"behind 50 jobs in its line (priority 100): {ids[0]}, {ids[1]}, {ids[2]} and 47 more." in near.text
    far = await world.why(ids[2400])
    assert "behind at least 1," in far.text
    assert len(far.holders) == 100
    assert (await world.why(ids[0])).code == "next"
    world.kit.clock.advance(1)
    late = await world.kit.put(priority=1)
    assert (await world.why(late)).code == "next"
    assert "is before all jobs of its line that were looked at" in (await world.why(late)).text


OBSTACLES: Final = {
    "time": {"due"},
    "queue": {"queue_paused"},
    "pause": {"task_paused"},
    "worker": {"no_worker"},
    "task": {"unknown_task"},
    "full": {"limit_full"},
    "rate": {"limit_rate"},
    "held": {"limit_held"},
    "paused": {"limit_paused"},
    "undeclared": {"limit_undeclared"},
    "line": {"behind", "busy"},
}


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(there=st.sets(st.sampled_from(list(OBSTACLES))), turns=st.booleans())
async def test_reason_by_reason_every_job_comes_to_run(there: set[str], turns: bool) -> None:
    """Many are in its way. Each is named in its turn; none is named that is not there, or again when it is gone."""
    clock = FakeClock()
    store = MemoryStore(fake_env(clock))
    await store.open()
    world = World(Kit(store, clock))
    job_id = await obstructed(world, there)
    named = []
    for _ in range(2 * len(OBSTACLES)):
        if turns:
            await world.turn()
        answer = await world.why(job_id)
        if answer.code == "running":
            break
        named.append(answer.code)
        await world.remove(job_id, answer)
        if not turns or answer.code in ("let_in", "next"):
            await world.turn()
    assert await world.runs(job_id), named
    assert len(named) == len(set(named)), named
    assert {*named} <= {"let_in", "next"}.union(*(OBSTACLES[one] for one in there)), named
    await store.close()


async def obstructed(world: World, there: set[str]) -> str:
    """A job with all these in its way."""
    kit, boss = world.kit, "boss"  # who is heard of no more, but keeps his leases
    for name in ("full", "paused", "undeclared"):
        if name != "undeclared" or name not in there:
            await kit.limit(name, slots=1)
    await kit.limit("rate", count=1, per=MINUTE)
    await kit.limit("held", slots=2)
    if "full" in there:
        await kit.run(worker=boss, lease=10 * HOUR, flow=flow("full"))
    if "rate" in there:
        await kit.run(worker=boss, lease=10 * HOUR, flow=flow(Pass("rate", holds=False)))
    if "held" in there:
        held = await kit.run(worker=boss, flow=flow("held"), max_attempts=2)
        await kit.settle(held.lease, RetryLater(3 * MINUTE, BOOM, hold=("held",)))
    if "paused" in there:
        await kit.overrule("paused", paused=True)
    gates = flow("full", Pass("rate", holds=False), "held", "paused", "undeclared")
    job_id = await kit.put(flow=gates, delay=MINUTE if "time" in there else 0)
    if "worker" not in there:
        await world.hire(kinds=("other",) if "task" in there else ("work",), concurrency=1 if "line" in there else 5)
    if "line" in there:
        await kit.put(priority=1)
    await paused(kit, there)
    return job_id


async def paused(kit: Kit, there: set[str]) -> None:
    if "pause" in there:
        await kit.overrule(PAUSED + "work", paused=True)
    if "queue" in there:
        await kit.store.put_queues([QueueSettings(name="default", paused=True)])
