"""The Redis store keeps every promise in a cluster, too: each namespace on one node, wherever that is now."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.conformance._redis_kit import job, maker, new_name, refused
from tests.conformance._twins import LONG, RedisTwin, live
from tests.conformance.test_machine import TwoStores
from tests.servers import cluster as clusters
from tests.servers import redis as servers
from tests.servers._process import free_port, wanted
from tests.servers.cluster import Cluster, slot_of
from tests.servers.redis import Redis

from tidewheel._model.duration import SECOND
from tidewheel._model.errors import StoreError, StoreUnavailable
from tidewheel._model.worker import Wakeup, Want
from tidewheel._store.redis import RedisStore
from tidewheel.testing.conformance import *  # noqa: F403  # the promises, one class per theme
from tidewheel.testing.conformance.kit import StoreMaker


@pytest.fixture(scope="session", params=servers.sources())
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with wanted(clusters.running(request.param)) as one:
        yield one


@pytest.fixture(scope="session")
def valkeys() -> Iterator[Cluster]:
    with wanted(clusters.running()) as one:
        yield one


@pytest.fixture
def make_store(valkeys: Cluster, record_property: Callable[[str, object], None]) -> StoreMaker:
    return maker(valkeys.url, f"{valkeys.nodes[0].name} as a cluster", record_property)


async def test_a_slot_that_moves_is_followed_and_never_half_written(cluster: Cluster) -> None:
    """While it is on its way, some keys are here and some there: nothing is begun then that would break off."""
    namespace = new_name()
    slot = slot_of(namespace)
    store = RedisStore(f"{cluster.url}?namespace={namespace}")
    await store.open()
    async with store.wakeups(frozenset({Wakeup.WORK})) as hints:
        await store.enqueue([job("a"), job("b")])
        await anext(hints)
        source = cluster.owner(slot)
        target = next(one for one in cluster.masters if one is not source)
        keys = source.ask("CLUSTER", "COUNTKEYSINSLOT", slot)
        cluster.begin_move(slot, target)
        moved = 0
        while True:
            with pytest.raises(StoreUnavailable, match="handing the namespace"):
                await store.enqueue([job(f"c{moved}")])
            with pytest.raises(StoreUnavailable, match="handing the namespace"):
                await store.claim([Want("default", 9)], kinds=["work"], worker="w", lease=SECOND)
            some = cluster.move_keys(slot, source, target, 1)
            moved += some
            if not some:
                break
        assert moved == keys
        assert target.ask("CLUSTER", "COUNTKEYSINSLOT", slot) == keys, "nothing was written meanwhile"
        cluster.end_move(slot, source, target)
        await store.enqueue([job("c")])
        assert str(target.port) in store._links.place
        assert await anext(hints) == {Wakeup.WORK}, "what is published at one node is heard at all"
    found = await store.claim([Want("default", 9)], kinds=["work"], worker="w", lease=SECOND)
    assert [one.id for one in found] == ["a", "b", "c"]
    await store.close()


async def test_namespaces_spread_over_the_nodes(valkeys: Cluster) -> None:
    used = set()
    for number in range(12):
        store = RedisStore(f"{valkeys.url}?namespace=spread{number}")
        await store.open()
        used.add(store._links.place)
        await store.close()
    assert len(used) == len(valkeys.masters)


async def test_what_is_wrong_with_the_way_is_said(valkeys: Cluster, redis: Redis) -> None:
    port, gone = valkeys.masters[0].port, free_port()
    await refused(f"redis://127.0.0.1:{port}/0", StoreError, f"redis+cluster://127.0.0.1:{port}/?namespace=tidewheel")
    await refused(f"redis+cluster://127.0.0.1:{redis.port}/", StoreError, f"Write redis://127.0.0.1:{redis.port}/0")
    await refused(f"redis+cluster://127.0.0.1:{gone}/", StoreUnavailable, f"node 127.0.0.1:{gone}")
    some = RedisStore(f"redis+cluster://127.0.0.1:{gone},127.0.0.1:{valkeys.pair[1].port}/")
    await some.open()  # one that answers is enough, and be it a replica
    await some.close()


async def test_a_cluster_has_one_database(cluster: Cluster) -> None:
    await refused(f"{cluster.url}9", StoreError, "database")


async def test_a_cluster_that_lacks_a_slot_is_away(cluster: Cluster) -> None:
    namespace = new_name()
    slot = slot_of(namespace)
    owner = cluster.owner(slot)
    store = RedisStore(f"{cluster.url}?namespace={namespace}")
    await store.open()
    owner.ask("CLUSTER", "DELSLOTS", slot)
    try:
        with pytest.raises(StoreUnavailable):
            await store.enqueue([job("a")])
    finally:
        owner.ask("CLUSTER", "ADDSLOTS", slot)
    await store.close()


class InACluster(RedisTwin, TwoStores):
    url: str

    def real_store(self, env: object) -> RedisStore:
        return RedisStore(f"{self.url}?namespace=machine{next(self.numbers)}", env)  # type: ignore[arg-type]


@pytest.mark.timeout(0 if LONG else 400)
def test_a_cluster_does_what_the_model_does(valkeys: Cluster) -> None:
    InACluster.url = valkeys.url
    live(InACluster)
