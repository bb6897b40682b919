"""The Redis store keeps every promise on a master that sentinels name, and follows them to another one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator

import pytest
from tests.conformance._redis_kit import job, maker, refused
from tests.servers import redis as servers
from tests.servers import sentinel
from tests.servers._process import free_port, wanted
from tests.servers.redis import Redis
from tests.servers.sentinel import Watched

from tidewheel._model.duration import SECOND
from tidewheel._model.errors import StoreError, StoreUnavailable
from tidewheel._model.worker import Wakeup, Want
from tidewheel._store.redis import RedisStore, connect
from tidewheel.testing.conformance import *  # noqa: F403  # the promises, one class per theme
from tidewheel.testing.conformance.kit import StoreMaker


@pytest.fixture(scope="session")
def watched() -> Iterator[Watched]:
    with wanted(sentinel.running()) as one:
        yield one


@pytest.fixture(scope="session", params=servers.sources())
def own(request: pytest.FixtureRequest) -> Iterator[Watched]:
    """Servers with passwords, which a test may make change places."""
    with wanted(sentinel.running(request.param, password="secret")) as one:  # noqa: S106 -- nobody else reaches them
        yield one


@pytest.fixture
def make_store(watched: Watched, record_property: Callable[[str, object], None]) -> StoreMaker:
    return maker(watched.url, f"{watched.servers[0].name} with sentinels", record_property)


async def patiently(store: RedisStore, id: str) -> list[StoreError]:
    """Enqueue until it is answered; gives what was said before."""
    said: list[StoreError] = []
    async with asyncio.timeout(20):
        while True:
            try:
                await store.enqueue([job(id)])
            except StoreError as error:
                said.append(error)
                await asyncio.sleep(0)
            else:
                return said


@pytest.mark.timeout(60)
async def test_a_failover_is_followed(own: Watched) -> None:
    """Passwords, scripts, hints and the clock: all of it is there on the new master."""
    login = own.url.replace("://", "://:secret@")
    store = RedisStore(f"{login}?sentinel_password=watch-secret&namespace=moving")
    await store.open()
    ahead = (await store.info()).now + 30 * SECOND
    async with store.wakeups(frozenset({Wakeup.WORK})) as hints:
        await store.enqueue([job("before")])
        await anext(hints)
        own.ask(own.master, "HSET", "{moving}:meta", "clock", ahead)
        assert own.ask(own.master, "WAIT", 1, 5000) == 1
        old = await asyncio.to_thread(own.fail_over)
        said = await patiently(store, "between")
        await asyncio.to_thread(own.demote, old)
        said += await patiently(store, "after")
        assert all(error.retriable for error in said), said
        assert str(own.master.port) in store._links.place
        assert (await store.info()).now >= ahead, "time does not turn back with the server"
        async with asyncio.timeout(10):
            await anext(hints)
    found = await store.claim([Want("default", 9)], kinds=["work"], worker="w", lease=SECOND)
    assert {"before", "after"} <= {one.id for one in found}
    await store.close()


async def test_a_master_that_was_demoted_is_left(watched: Watched) -> None:
    """It says READONLY; until the sentinels name another one the store is away, not broken."""
    store = RedisStore(f"{watched.url}?namespace=demoted")
    await store.open()
    await store.enqueue([job("a")])
    master = watched.master
    watched.ask(master, "REPLICAOF", "127.0.0.1", free_port())
    try:
        with pytest.raises(StoreUnavailable, match="read-only replica"):
            await store.enqueue([job("b")])
        await refused(watched.url, StoreUnavailable, "replica of 127.0.0.1", "failover is under way")
    finally:
        watched.ask(master, "REPLICAOF", "NO", "ONE")
    assert await patiently(store, "b") == []
    await store.close()


async def test_silence_is_no_failure(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who listens asks now and then whether the other side is there, and takes the answer for what it is."""
    monkeypatch.setattr(connect, "_QUIET", 0.01)
    store = RedisStore(f"{watched.url}?namespace=silent")
    await store.open()
    watch = store._links._watch
    async with store.wakeups(frozenset({Wakeup.WORK})) as hints:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await anext(hints)
        assert watch is not None
        assert not watch.done()
        await store.enqueue([job("a")])
        assert await anext(hints) == {Wakeup.WORK}
    await store.close()


async def test_what_is_wrong_with_the_way_is_said(watched: Watched, redis: Redis) -> None:
    watch, gone = watched.sentinels[0].port, free_port()
    await refused(f"redis+sentinel://127.0.0.1:{watch}/other", StoreError, "does not know 'other'", "knows: mymaster")
    await refused(
        f"redis+sentinel://127.0.0.1:{redis.port}/mymaster", StoreError, f"Write redis://127.0.0.1:{redis.port}"
    )
    await refused(f"redis+sentinel://127.0.0.1:{gone}/mymaster", StoreUnavailable, f"sentinel 127.0.0.1:{gone}")
    await refused(f"redis://127.0.0.1:{watch}/0", StoreError, "is a sentinel", "redis+sentinel://")
    some = RedisStore(f"redis+sentinel://127.0.0.1:{gone},127.0.0.1:{watch}/mymaster")
    await some.open()  # one that answers is enough
    await some.close()


async def test_sentinels_have_credentials_of_their_own(own: Watched) -> None:
    await refused(own.url, StoreError, "refuses user 'default'", "?sentinel_username=")
    await refused(f"{own.url}?sentinel_password=watch-secret", StoreError, "no password", "found by redis+sentinel:")


async def test_what_a_failover_loses_is_said_and_waiting_helps(watched: Watched) -> None:
    store = RedisStore(f"{watched.url}?namespace=told")
    await store.open()
    said = (await store.info()).durability
    assert "A failover loses what the replicas had not received yet" in said
    assert "?wait_replicas=1" in said
    assert "min-replicas-to-write 1" in said
    await store.close()
    waits = RedisStore(f"{watched.url}?namespace=told&wait_replicas=1")
    await waits.open()
    assert "is on 1 of 1 replica" in (await waits.info()).durability
    await waits.enqueue([job("a")])
    await waits.close()
    more = RedisStore(f"{watched.url}?namespace=told&wait_replicas=2&timeout=0.2")
    await more.open()
    with pytest.raises(StoreUnavailable, match="Only 1 of 2 replicas"):
        await more.enqueue([job("b")])
    with pytest.raises(StoreUnavailable, match="Only 1 of 2 replicas"):
        await more.enqueue([job("c")])
    assert [one is not None for one in await more.get(["b", "c"])] == [True, False], "only the first was written"
    await more.close()


@pytest.mark.timeout(60)
async def test_a_master_without_enough_replicas_is_away(own: Watched) -> None:
    await asyncio.to_thread(own.wait)  # another test may have made them change places
    login = own.url.replace("://", "://:secret@")
    store = RedisStore(f"{login}?sentinel_password=watch-secret")
    await store.open()
    own.ask(own.master, "CONFIG", "SET", "min-replicas-to-write", "2")
    with pytest.raises(StoreUnavailable, match="min-replicas-to-write"):
        await store.enqueue([job("a")])
    own.ask(own.master, "CONFIG", "SET", "min-replicas-to-write", "1")
    assert (await store.enqueue([job("a")]))[0].inserted
    assert "takes no writes after" in (await store.info()).durability
    await store.close()


async def test_a_cancelled_call_is_cancelled() -> None:
    """Whenever it comes: the driver's own limits swallowed it now and then on Python 3.11."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = RedisStore(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        for turns in range(20):
            asked = asyncio.ensure_future(store.open())
            for _ in range(turns):
                await asyncio.sleep(0)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
