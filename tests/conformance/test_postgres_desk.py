"""Keys, backlogs and expiry in PostgreSQL, where several connections come to the desk at once."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from tests.conformance._postgres_kit import START, Place

from tidewheel._model.enqueue_rule import Backlog, EnqueueRule
from tidewheel._model.job import NewJob
from tidewheel._model.query import Action, Enqueued
from tidewheel._model.retention import FOREVER, Retention, RetentionRule
from tidewheel._model.state import JobState
from tidewheel._store.postgres import PostgresStore, desk
from tidewheel._store.postgres.gates import Overtaken
from tidewheel._store.postgres.sql import with_schema
from tidewheel.testing.conformance.kit import HOUR, MINUTE

REPLACE = EnqueueRule(key="k", holds="waiting", on_conflict="replace", replace={"available": ("args", "priority")})
FOR_EVER = [RetentionRule("work", None, Retention(FOREVER, FOREVER))]
SLOW_TO_READ = """
    ALTER TABLE {schema}.keys RENAME TO real_keys;
    CREATE VIEW {schema}.keys AS SELECT * FROM {schema}.real_keys WHERE (SELECT pg_advisory_xact_lock_shared(7)) IS NOT NULL;
"""
AWAY = "UPDATE {schema}.jobs SET state = 'running', lease_until = 1, parked_by = NULL WHERE id = $1"


def job(id: str, *keys: str, **changes: object) -> NewJob:
    rule = EnqueueRule(key=keys[0]) if keys else None
    return NewJob(**{"id": id, "kind": "work", "args": "{}", "rule": rule, **changes})  # type: ignore[arg-type]


async def ask(store: PostgresStore, *jobs: NewJob) -> list[Enqueued]:
    return await store.enqueue(jobs, now=START)


async def test_of_two_that_ask_for_a_new_key_at_once_one_gets_it(place: Place) -> None:
    async with place.holding("INSERT INTO {schema}.keys (key) VALUES ('k')"):
        tasks = [
            asyncio.ensure_future(ask(store, job(f"j{store is place.one}", "k"))) for store in (place.one, place.two)
        ]
        await place.waiting(2)
    answers = [answer for task in tasks for answer in await task]
    assert sorted(answer.inserted for answer in answers) == [False, True]
    assert len({answer.id for answer in answers}) == 1


async def test_two_calls_that_name_the_same_keys_in_opposite_order(place: Place) -> None:
    """Both begin with the first by name: no deadlock, and one call has them all."""
    names = "abcde"
    one = [job(f"one-{name}", name) for name in names]
    two = [job(f"two-{name}", name) for name in reversed(names)]
    async with place.holding("INSERT INTO {schema}.keys (key) VALUES ('a')"):
        tasks = [asyncio.ensure_future(ask(place.one, *one)), asyncio.ensure_future(ask(place.two, *two))]
        await place.waiting(2)
    inserted = [[answer.inserted for answer in await task] for task in tasks]
    assert sorted(inserted) == [[False] * 5, [True] * 5]


@pytest.mark.parametrize("drop", [False, True])
async def test_of_two_that_ask_for_the_last_place_of_a_backlog_one_gets_it(place: Place, *, drop: bool) -> None:
    backlog = Backlog("b", 2, drop_oldest=drop)
    await ask(place.one, job("first", backlog=backlog))
    async with place.holding("SELECT FROM {schema}.keys WHERE key = 'backlog:b' FOR UPDATE"):
        tasks = [
            asyncio.ensure_future(ask(store, job(f"j{store is place.one}", backlog=backlog)))
            for store in (place.one, place.two)
        ]
        await place.waiting(2)
    answers = [answer for task in tasks for answer in await task]
    if drop:
        assert sorted(answer.cancelled or "" for answer in answers) == ["", "first"]
    else:
        assert sorted(answer.did for answer in answers) == ["", "full"]


async def test_an_oldest_that_is_being_claimed_is_passed_over(place: Place) -> None:
    backlog = Backlog("b", 2, drop_oldest=True)
    await ask(place.one, job("one", backlog=backlog), job("two", backlog=backlog))
    async with place.holding(AWAY, "one"):
        (answer,) = await ask(place.two, job("three", backlog=backlog))
    assert answer.cancelled == "two"
    assert await place.states("one", "two", "three") == ["running", "cancelled", "available"]


async def test_a_replace_that_meets_the_claim_of_its_job_leaves_it_alone(place: Place) -> None:
    await ask(place.one, job("old", rule=REPLACE))
    async with place.holding(AWAY, "old"):
        task = asyncio.ensure_future(ask(place.two, job("new", rule=REPLACE, args='{"a":1}')))
        await place.waiting(1)
    assert await task == [Enqueued("new", inserted=True)]  # a running job holds nothing that waits
    assert (await place.row("old")).args == "{}"


async def test_a_cancel_that_meets_the_claim_of_its_job_asks_it_to_stop(place: Place) -> None:
    rule = EnqueueRule(key="k", on_conflict="cancel")
    await ask(place.one, job("old", rule=rule))
    async with place.holding(AWAY, "old"):
        task = asyncio.ensure_future(ask(place.two, job("new", rule=rule)))
        await place.waiting(1)
    assert await task == [Enqueued("new", inserted=True, cancelled="old")]
    row = await place.row("old")
    assert (row.state, row.cancel_requested) == (JobState.RUNNING, True)


@pytest.mark.parametrize("column", ["id", "unique_key"])
async def test_an_id_or_a_unique_key_that_is_taken_meanwhile(place: Place, column: str) -> None:
    """The insert finds it out; the call begins anew, takes no key and cancels nobody."""
    rule = EnqueueRule(key="k", on_conflict="cancel")
    await ask(place.one, job("old", rule=rule))
    put = """INSERT INTO {schema}.jobs (id, kind, queue, state, args, priority, run_at, max_attempts, max_crashes,
        enqueued_at, unique_key) VALUES ($1, 'work', 'default', 'available', '{}', 100, 1, 1, 3, 1, $2)"""
    values = ("new", None) if column == "id" else ("other", "u")
    async with place.holding(put, *values):
        task = asyncio.ensure_future(ask(place.two, job("new", rule=rule, unique_key="u")))
        await place.waiting(1)
    assert await task == [Enqueued(values[0], inserted=False, state=JobState.AVAILABLE)]
    assert await place.states("old") == ["available"]
    assert await place.sql("SELECT job_id FROM {schema}.keys WHERE key = 'k'") == "old"


async def test_a_call_that_is_always_too_late_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object, **__: object) -> frozenset[str]:
        return frozenset()

    monkeypatch.setattr(desk, "insert", nothing)
    with pytest.raises(Overtaken):
        await ask(place.one, job("a", "k"))
    assert await place.sql("SELECT count(*) FROM {schema}.keys") == 0


@pytest.mark.parametrize("commit", [False, True])
async def test_in_a_caller_s_transaction_the_others_wait_for_its_end(place: Place, *, commit: bool) -> None:
    block = place.own.transaction()
    await block.start()
    assert await place.one.enqueue_in(place.own, [job("mine", "k")], now=START) == [Enqueued("mine", inserted=True)]
    task = asyncio.ensure_future(ask(place.two, job("theirs", "k")))
    while not await place.own.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
        pass
    await (block.commit() if commit else block.rollback())
    (answer,) = await task
    assert answer.id == ("mine" if commit else "theirs")


async def test_a_caller_s_transaction_goes_on_when_an_id_is_taken_meanwhile(place: Place) -> None:
    """Beginning anew undoes what the call did, and nothing of the caller's."""
    put = """INSERT INTO {schema}.jobs (id, kind, queue, state, args, priority, run_at, max_attempts, max_crashes,
        enqueued_at) VALUES ('new', 'work', 'default', 'available', '{}', 100, 1, 1, 3, 1)"""
    other = await asyncpg.connect(place.one.options.dsn)
    try:
        async with other.transaction():
            await place.two.enqueue_in(other, [job("before", "b")], now=START)
            async with place.holding(put):
                task = asyncio.ensure_future(place.two.enqueue_in(other, [job("new", "k")], now=START))
                await place.waiting(1)
            assert await task == [Enqueued("new", inserted=False, state=JobState.AVAILABLE)]
    finally:
        await other.close()
    assert await place.states("before") == ["available"]
    assert await place.sql("SELECT job_id FROM {schema}.keys WHERE key = 'k'") is None


async def test_a_sweep_does_not_wait_for_an_expired_job_that_is_in_hand(place: Place) -> None:
    await ask(place.one, job("a", expires_in=MINUTE), job("b", expires_in=MINUTE))
    async with place.holding(AWAY, "a"):
        assert (await place.two.sweep(now=START + HOUR)).expired == 1
    assert await place.states("b") == ["cancelled"]


async def test_a_key_that_is_taken_just_before_a_sweep_would_forget_it_stays(place: Place) -> None:
    """The sweep has begun to read keys and sees the dead job yet; until it has the key's row, that is the new job's."""
    await ask(place.one, job("old", "k"))
    await place.one.alter(["old"], Action.DELETE, now=START)
    await place.own.execute(with_schema(SLOW_TO_READ, place.schema))
    async with place.holding("SELECT pg_advisory_xact_lock(7)"):
        sweeping = asyncio.ensure_future(place.two.sweep(retention=FOR_EVER, now=START))
        await place.waiting(1)
        assert await ask(place.one, job("new", "k")) == [Enqueued("new", inserted=True)]
    await sweeping
    (answer,) = await ask(place.one, job("newer", "k"))
    assert (answer.id, answer.inserted) == ("new", False)
