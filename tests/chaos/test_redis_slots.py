"""A namespace that goes from node to node under load, by every way there is, and whose node is killed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from itertools import count

import pytest
from tests.chaos._load import Load
from tests.servers import cluster as clusters
from tests.servers import redis as servers
from tests.servers._process import NoServer, missing
from tests.servers.cluster import Cluster, slot_of
from tests.servers.sentinel import until

_numbers = count()
pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module", params=servers.sources())
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    try:
        with clusters.running(request.param) as one:
            yield one
    except NoServer as error:
        missing(error)


def fresh(cluster: Cluster) -> str:
    """A new namespace on the node that has a replica."""
    names = (f"load{number}" for number in _numbers)
    return next(name for name in names if cluster.owner(slot_of(name)) is cluster.pair[0])


async def test_a_slot_on_the_move_loses_nothing(cluster: Cluster) -> None:
    namespace = fresh(cluster)
    slot = slot_of(namespace)
    async with Load(f"{cluster.url}?namespace={namespace}&timeout=2s") as load:
        await load.served()
        home, *others = cluster.masters
        for target in (*others, home):
            await asyncio.to_thread(cluster.move, slot, target)
            await load.served()
        await load.finish()
        lost = await load.lost()
    assert not lost
    assert not load.doubled
    assert not load.completed_twice
    assert any("handing the namespace" in said for said in load.refusals)


async def test_a_node_that_is_killed_loses_nothing_that_its_replica_has(cluster: Cluster) -> None:
    namespace = fresh(cluster)
    slot = slot_of(namespace)
    first, replica = cluster.pair
    async with Load(f"{cluster.url}?namespace={namespace}&wait_replicas=1&timeout=2s") as load:
        await load.served()
        first.stop(signal.SIGKILL)
        await asyncio.to_thread(until, "the replica takes over", lambda: cluster.owner(slot) is replica)
        await asyncio.to_thread(first.start)  # it finds out, and follows
        await load.served()
        await load.finish()
        lost = await load.lost()
    assert not lost
    assert not load.doubled
    assert not load.completed_twice


async def test_nodes_that_agree_to_change_places_lose_nothing(cluster: Cluster) -> None:
    """Without waiting for replicas, too."""
    namespace = fresh(cluster)
    async with Load(f"{cluster.url}?namespace={namespace}&timeout=2s") as load:
        await load.served()
        await asyncio.to_thread(cluster.change_places, cluster.pair[1], slot_of(namespace))
        await load.served()
        await load.finish()
        lost = await load.lost()
    assert not lost
    assert not load.doubled
    assert not load.completed_twice
