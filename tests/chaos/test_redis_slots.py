"""A namespace that goes from node to node under load, by every way there is, and whose node is killed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from itertools import count

import pytest
from tests.chaos._redis_kit import unharmed
from tests.servers import cluster as clusters
from tests.servers import redis as servers
from tests.servers._process import wanted
from tests.servers.cluster import Cluster, slot_of
from tests.servers.sentinel import until

_numbers = count()
pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module", params=servers.sources())
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with wanted(clusters.running(request.param)) as one:
        yield one


def fresh(cluster: Cluster) -> str:
    """A new namespace on the node that has a replica."""
    names = (f"load{number}" for number in _numbers)
    return next(name for name in names if cluster.owner(slot_of(name)) is cluster.pair[0])


async def test_a_slot_on_the_move_loses_nothing(cluster: Cluster) -> None:
    namespace = fresh(cluster)
    slot = slot_of(namespace)
    async with unharmed(f"{cluster.url}?namespace={namespace}&timeout=2s") as load:
        home, *others = cluster.masters
        for target in (*others, home):
            await asyncio.to_thread(cluster.move, slot, target)
            await load.served()
    assert any("handing the namespace" in said for said in load.refusals)


async def test_a_node_that_is_killed_loses_nothing_that_its_replica_has(cluster: Cluster) -> None:
    namespace = fresh(cluster)
    slot = slot_of(namespace)
    first, replica = cluster.pair
    async with unharmed(f"{cluster.url}?namespace={namespace}&wait_replicas=1&timeout=2s"):
        first.stop(signal.SIGKILL)
        await asyncio.to_thread(until, "the replica takes over", lambda: cluster.owner(slot) is replica)
        await asyncio.to_thread(first.start)  # it finds out, and follows


async def test_nodes_that_agree_to_change_places_lose_nothing(cluster: Cluster) -> None:
    """Without waiting for replicas, too."""
    namespace = fresh(cluster)
    async with unharmed(f"{cluster.url}?namespace={namespace}&timeout=2s"):
        await asyncio.to_thread(cluster.change_places, cluster.pair[1], slot_of(namespace))
