"""What concerns the Redis store alone: servers it refuses, what it says, and how it lives through a bad day."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from tests.conformance._redis_kit import HOUR, claim, job, new_name, opened, refused
from tests.servers._process import free_port, wanted
from tests.servers.redis import Redis, running

from tidewheel._model.duration import SECOND
from tidewheel._model.errors import SchemaMismatch, StoreError, StoreFull, StoreUnavailable
from tidewheel._model.outcome import Complete, Settlement
from tidewheel._model.query import Accepted, Action, JobFilter
from tidewheel._model.state import JobState
from tidewheel._model.worker import Wakeup, Want
from tidewheel._store.redis import RedisStore
from tidewheel._store.redis.keys import SCHEMA
from tidewheel._store.redis.scripts import script


@pytest.fixture
def url(redis: Redis) -> str:
    return f"{redis.url}?namespace={new_name()}"


@pytest_asyncio.fixture
async def store(url: str) -> AsyncIterator[RedisStore]:
    async with opened(url) as one:
        yield one


@pytest.fixture
def own() -> Iterator[Redis]:
    """A server that the test may hurt."""
    with wanted(running("valkey", durable=True)) as one:
        yield one


async def raw(store: RedisStore, *words: str | bytes | int) -> object:
    return await store._links.call(*words)


# --- servers that are refused ---


async def test_a_server_that_evicts_is_refused_unless_told_otherwise(own: Redis) -> None:
    async with opened(own.url) as one:
        await raw(one, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        await refused(own.url, StoreError, "allkeys-lru", "noeviction", "?eviction=allow")
        async with opened(f"{own.url}?eviction=allow") as two:
            assert await two.queues() == []


async def test_a_replica_is_refused(redis: Redis) -> None:
    with running("valkey", settings={"replicaof": f"127.0.0.1 {redis.port}"}) as replica:
        await refused(replica.url, StoreError, "replica of 127.0.0.1", "primary")


async def test_wrong_credentials_and_rights_are_named() -> None:
    with running("valkey", settings={"requirepass": "secret"}) as one:
        port = one.port
        async with opened(f"redis://:secret@127.0.0.1:{port}/0") as good:
            await raw(good, "ACL", "SETUSER", "poor", "on", ">secret", "~x", "+ping")
        await refused(one.url, StoreError, "no password", "redis://user:password@host")
        await refused(f"redis://:secretwrong@127.0.0.1:{port}/0", StoreError, "this password")
        await refused(f"redis://nobody:secret@127.0.0.1:{port}/0", StoreError, "'nobody'")
        await refused(f"redis://poor:secret@127.0.0.1:{port}/0", StoreError, "rights", "{tidewheel}:*")


async def test_the_rights_that_the_message_names_suffice(redis: Redis, store: RedisStore) -> None:
    namespace = new_name()
    rule = f"~{{{namespace}}}:* &{{{namespace}}}:* +@all -@dangerous +info +config|get"
    await raw(store, "ACL", "SETUSER", "worker", "on", ">secret", *rule.split())
    async with opened(f"redis://worker:secret@127.0.0.1:{redis.port}/0?namespace={namespace}") as one:
        async with one.wakeups() as hints:
            await one.enqueue([job("a")])
            assert Wakeup.WORK in await anext(hints)
        assert await claim(one) == ["a"]
        assert (await one.sweep()).rescued == 0
        assert (await one.info()).durability
        assert len((await one.list(JobFilter())).jobs) == 1


async def test_an_unreachable_server_is_named_and_may_come_back() -> None:
    port = free_port()
    await refused(f"redis://127.0.0.1:{port}/0", StoreUnavailable, f"127.0.0.1:{port}", "running")


async def test_a_server_that_does_not_answer_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        await refused(
            f"redis://127.0.0.1:{port}/0?connect_timeout=0.05", StoreUnavailable, "in time", "?connect_timeout=0.05s"
        )


async def test_encryption_that_fails_is_named(redis: Redis) -> None:
    await refused(
        f"rediss://127.0.0.1:{redis.port}/0?connect_timeout=0.3", StoreUnavailable, "redis:// instead of rediss://"
    )


@pytest.mark.parametrize("option", ["tls_ca", "tls_cert"])
async def test_a_certificate_that_is_not_there_is_named_and_not_waited_for(redis: Redis, option: str) -> None:
    url = f"rediss://127.0.0.1:{redis.port}/0?{option}=/nowhere/it.pem"
    await refused(url, StoreError, "cannot read /nowhere/it.pem", "Correct the URL")


async def test_a_wrong_database_is_named(redis: Redis) -> None:
    await refused(f"redis://127.0.0.1:{redis.port}/99", StoreError, "no database 99")


@pytest.mark.parametrize("name", ["meta", "leases", "all"])
async def test_foreign_keys_under_our_names_are_not_touched(redis: Redis, store: RedisStore, name: str) -> None:
    namespace = new_name()
    await raw(store, "SET", f"{{{namespace}}}:{name}", "theirs")
    await refused(f"{redis.url}?namespace={namespace}", SchemaMismatch, f"{{{namespace}}}:{name}", "?namespace=")
    assert await raw(store, "GET", f"{{{namespace}}}:{name}") == b"theirs"


async def test_keys_of_the_right_type_are_foreign_too_without_our_mark(redis: Redis, store: RedisStore) -> None:
    namespace = new_name()
    await raw(store, "HSET", f"{{{namespace}}}:queues", "a", "b")
    await refused(f"{redis.url}?namespace={namespace}", SchemaMismatch, "did not make")


async def test_a_namespace_that_is_emptied_under_us_is_begun_anew(url: str, store: RedisStore) -> None:
    await store.enqueue([job("a")])
    await raw(store, "FLUSHALL")
    await store.enqueue([job("b")])
    async with opened(url) as other:
        assert (await other.info()).schema == SCHEMA
        assert await claim(other) == ["b"]


async def test_another_namespace_is_another_world(redis: Redis, store: RedisStore) -> None:
    await store.enqueue([job("a")])
    async with opened(f"{redis.url}?namespace={new_name()}") as other:
        assert await other.get(["a"]) == [None]
        assert await claim(other) == []


# --- what a crash may lose ---


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"appendonly": "yes", "appendfsync": "always"}, "loses nothing that was answered"),
        ({"appendonly": "yes", "appendfsync": "everysec"}, "about the last second"),
        ({"appendonly": "no", "save": "60 1"}, "since its last snapshot"),
        ({"appendonly": "no", "save": ""}, "may lose every job"),
    ],
)
async def test_it_is_said_what_a_crash_may_lose(own: Redis, settings: dict[str, str], words: str) -> None:
    async with opened(own.url) as one:
        for name, value in settings.items():
            await raw(one, "CONFIG", "SET", name, value)
        info = await one.info()
    assert words in info.durability
    assert (info.name, info.listen, info.schema) == ("valkey", True, SCHEMA)


# --- bad days ---


async def test_a_full_server_takes_no_new_jobs_and_lets_the_running_ones_end(own: Redis) -> None:
    async with opened(own.url) as one:
        await one.enqueue([job("a", max_attempts=2), job("b")])
        held = await one.claim([Want("default", 1)], kinds=["work"], worker="w", lease=HOUR)
        await raw(one, "CONFIG", "SET", "maxmemory", "1mb")
        with pytest.raises(StoreFull, match="maxmemory") as caught:
            await one.enqueue([job("c")])
        assert caught.value.retriable
        assert await one.settle([Settlement(held[0].lease, Complete('"done"'))]) == [Accepted.ACCEPTED]
        assert await claim(one) == ["b"]
        assert (await one.sweep()).pruned == 0
        assert [row.id for row in (await one.list(JobFilter(), limit=9)).jobs] == ["b", "a"]
        await raw(one, "CONFIG", "SET", "maxmemory", "0")
        assert (await one.enqueue([job("c")]))[0].inserted


async def test_scripts_are_sent_again_after_a_flush(store: RedisStore) -> None:
    await store.enqueue([job("a")])
    await raw(store, "SCRIPT", "FLUSH")
    assert await claim(store) == ["a"]


async def test_connections_that_are_cut_come_back(store: RedisStore) -> None:
    async with store.wakeups(frozenset({Wakeup.WORK})) as hints:
        await store.enqueue([job("a")])
        assert await anext(hints) == {Wakeup.WORK}
        await raw(store, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await raw(store, "CLIENT", "KILL", "TYPE", "pubsub")
        assert await claim(store) == ["a"]
        async with asyncio.timeout(5):
            assert await anext(hints) == {Wakeup.WORK}, "after an interruption everybody looks"
        await store.enqueue([job("b")])
        async with asyncio.timeout(5):
            assert await anext(hints) == {Wakeup.WORK}


async def test_a_server_that_restarts_has_its_jobs(own: Redis) -> None:
    async with opened(own.url) as one:
        await one.enqueue([job(f"j{number}") for number in range(100)])
        await raw(one, "CONFIG", "SET", "appendfsync", "always")
        await one.enqueue([job("last")])
        own.stop(signal.SIGKILL)
        with pytest.raises(StoreUnavailable):
            await one.enqueue([job("later")])
        with pytest.raises(StoreUnavailable):
            async with one.wakeups():
                pass
        await asyncio.to_thread(own.start)
        assert len(await claim(one, 200)) == 101


async def test_a_cancelled_call_does_not_mix_up_answers(store: RedisStore) -> None:
    await store.enqueue([job(f"j{number}") for number in range(50)])
    for number in range(50):
        asked = asyncio.ensure_future(store.get([f"j{number}"]))
        for _ in range(number % 5):
            await asyncio.sleep(0)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        (row,) = await store.get([f"j{(number * 7) % 50}"])
        assert row is not None
        assert row.id == f"j{(number * 7) % 50}"


def test_a_store_may_be_opened_again_in_another_loop(url: str) -> None:
    one = RedisStore(url)

    async def once(id: str) -> int:
        await one.open()
        await one.enqueue([job(id)])
        found = len((await one.list(JobFilter())).jobs)
        await one.close()
        return found

    assert [asyncio.run(once("a")), asyncio.run(once("b"))] == [1, 2]


async def test_a_store_that_is_not_open_says_so(url: str) -> None:
    with pytest.raises(StoreError, match="not open"):
        await RedisStore(url).queues()


# --- rows that cannot be read ---


@pytest.mark.parametrize("damage", ["head", "gone", "arguments", "missing arguments"])
async def test_a_damaged_row_is_set_aside_and_stops_nobody(store: RedisStore, damage: str) -> None:
    await store.enqueue([job("a"), job("bad", unique_key="u"), job("c")])
    key = f"{{{store.options.namespace}}}:job:bad"
    if damage == "head":
        await raw(store, "HSET", key, "h", b"\xc1\xff")
    elif damage == "gone":
        await raw(store, "DEL", key)
    elif damage == "arguments":
        await raw(store, "HSET", key, "a", b"\xff\xfe")
    else:
        await raw(store, "HDEL", key, "a")
    assert await claim(store) == ["a", "c"]
    (row,) = await store.get(["bad"])
    if damage == "gone":
        assert row is None
    else:
        assert row is not None
        assert (row.state, row.error and row.error.type) == (JobState.DISCARDED, "tidewheel.Unreadable")
        assert "bad" in [one.id for one in (await store.list(JobFilter(states=(JobState.DISCARDED,)))).jobs]
    assert (await store.enqueue([job("next", unique_key="u")]))[0].inserted


@pytest.mark.parametrize("state", ["due", "leased"])
async def test_a_damaged_row_does_not_stop_a_sweep(store: RedisStore, state: str) -> None:
    await store.enqueue([job("bad"), job("good")] if state == "leased" else [job("bad", delay=1), job("good", delay=1)])
    if state == "leased":
        await store.claim([Want("default", 9)], kinds=["work"], worker="w", lease=1)
    await raw(store, "HSET", f"{{{store.options.namespace}}}:job:bad", "h", "nonsense")
    await store.sweep(now=(await store.info()).now + SECOND)
    states = {row.id: row.state for row in (await store.list(JobFilter())).jobs}
    assert states == {
        "bad": JobState.DISCARDED,
        "good": JobState.DISCARDED if state == "leased" else JobState.AVAILABLE,
    }


async def test_the_clock_does_not_follow_a_server_that_is_behind(store: RedisStore) -> None:
    now, meta = (await store.info()).now, f"{{{store.options.namespace}}}:meta"
    ahead = now + 30 * SECOND
    await raw(store, "HSET", meta, "clock", ahead)
    assert (await store.info()).now == ahead
    await store.enqueue([job("a")])
    (row,) = await store.get(["a"])
    assert row is not None
    assert row.enqueued_at == ahead
    await raw(store, "HSET", meta, "clock", now + HOUR)
    assert (await store.info()).now < ahead, "a clock that was an hour wrong is not waited for"


async def test_times_are_exact_and_lines_keep_their_order_however_far(store: RedisStore) -> None:
    times = [-5, 0, 1, 1_768_478_400_000_001, 1_768_478_400_000_002]
    await store.enqueue([job(f"t{time}", run_at=time) for time in reversed(times)], now=2_000_000_000_000_000)
    await store.enqueue([job(f"l{time}", run_at=time, lifo=True) for time in times], now=2_000_000_000_000_000)
    far = 253_402_300_799_999_999
    await store.enqueue([job("far", run_at=far)])
    (row,) = await store.get(["far"])
    assert row is not None
    assert row.run_at == far
    assert await claim(store) == [*(f"l{time}" for time in reversed(times)), *(f"t{time}" for time in times)]


async def test_a_claim_merges_kinds_and_leaves_others_alone(store: RedisStore) -> None:
    await store.enqueue([job(f"{number:03}", kind=f"k{number % 7}", priority=1 + number % 3) for number in range(300)])
    wanted = [f"k{number}" for number in range(0, 7, 2)]
    found = await store.claim([Want("default", 100)], kinds=wanted, worker="w", lease=HOUR)
    numbers = [n for n in range(300) if f"k{n % 7}" in wanted]
    assert [int(one.id) for one in found] == sorted(numbers, key=lambda n: (n % 3, n))[:100]


def test_each_script_says_what_it_takes_and_gives() -> None:
    for name in (
        "enqueue",
        "claim",
        "beat",
        "settle",
        "sweep",
        "scan",
        "alter",
        "get",
        "history",
        "queues",
        "workers",
        "put_limits",
        "limits",
        "list_gates",
        "hit",
    ):
        text = script(name).text
        assert text.startswith("#!lua")
        assert "-- ask: " in text
        assert "-- gives: " in text
    assert "allow-oom" not in script("enqueue").text.splitlines()[0]
    assert all(
        "allow-oom" in script(name).text.splitlines()[0]
        for name in ("claim", "settle", "beat", "sweep", "alter", "put_limits", "hit")
    )


# --- one plain job has a script of its own ---


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"delay": SECOND},
        {"run_at": 5, "lifo": True, "priority": 7, "queue": "a:b", "kind": "a b"},
        {"run_at": 1 << 60},
        {"tags": ("a",), "meta": "{}", "options": "{}", "keep_completed": 1, "keep_failed": 2, "on_dead": "tell"},
        {"max_attempts": 7, "max_crashes": 1},
    ],
)
async def test_one_job_comes_in_like_one_of_many(redis: Redis, changes: dict[str, object]) -> None:
    """Among two it takes the other way; then it is compared key by key, but for the other one's."""
    found = []
    for jobs in ([job("a", **changes)], [job("a", **changes), job("b", kind="other", queue="other", delay=1)]):
        async with opened(f"{redis.url}?namespace={new_name()}") as one:
            assert all(answer.inserted for answer in await one.enqueue(jobs, now=1_768_478_400_000_000))
            answers = await one.enqueue(jobs, now=1_768_478_400_000_000)
            await one.alter(["b"], Action.DELETE)
            (row,) = await one.get(["a"])
            claimed = await one.claim([Want(jobs[0].queue, 9)], kinds=[jobs[0].kind], worker="w", lease=1)
            found.append((answers[0], row, [(each.id, each.args, each.tags, each.meta) for each in claimed]))
    assert found[0] == found[1]
    assert found[0][0].state is not None


async def test_one_job_whose_id_is_taken_by_something_unreadable(store: RedisStore) -> None:
    await store.enqueue([job("a")])
    await raw(store, "HSET", f"{{{store.options.namespace}}}:job:a", "h", "nonsense")
    (answer,) = await store.enqueue([job("a")])
    assert (answer.inserted, answer.state) == (False, JobState.DISCARDED)
