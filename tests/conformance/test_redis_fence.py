"""A claim that the server forgets (a crash, a failover) is never handed out a second time under the same lease."""

from __future__ import annotations

import asyncio
import signal

import pytest
from tests.conformance._redis_kit import HOUR, job, new_name, opened
from tests.servers import sentinel
from tests.servers._process import wanted
from tests.servers.redis import Redis, running, sources
from tests.servers.sentinel import ask

from tidewheel._model.job import Claimed
from tidewheel._model.outcome import Complete, Settlement
from tidewheel._model.query import Accepted
from tidewheel._model.worker import Want

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=sources())
def source(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def enqueued(url: str) -> None:
    async with opened(url) as store:
        await store.enqueue([job("a")])


async def claimed(url: str) -> Claimed:
    """The only job of the namespace, for a worker of its own."""
    async with opened(url) as store:
        (found,) = await store.claim([Want("default", 9)], kinds=["work"], worker="w", lease=HOUR)
        return found


async def settled(url: str, one: Claimed) -> Accepted:
    async with opened(url) as store:
        (answer,) = await store.settle([Settlement(one.lease, Complete('"done"'))])
        return answer


async def test_a_claim_lost_in_a_crash_is_not_repeated(source: str) -> None:
    with wanted(running(source)) as server:
        url = f"{server.url}?namespace={new_name()}"
        await enqueued(url)
        ask(server.port, "SAVE")  # what is done from here on, the crash takes
        leases = [await claimed(url)]
        for _ in range(2):
            server.stop(signal.SIGKILL)
            await asyncio.to_thread(server.start)
            leases.append(await claimed(url))

        first, second, third = leases
        assert first.epoch == 1, "as long as nothing was lost, epochs count claims and rescues"
        assert first.epoch < second.epoch < third.epoch, "also when the note of the first loss was lost"
        assert [one.epoch % 1000 for one in leases] == [1, 1, 1], "the last digits go on counting"
        assert [one.attempt for one in leases] == [1, 1, 1], "nobody has failed"
        assert await settled(url, first) is Accepted.STALE
        assert await settled(url, second) is Accepted.STALE
        assert await settled(url, third) is Accepted.ACCEPTED


async def test_a_claim_lost_in_a_failover_is_not_repeated(source: str) -> None:
    """Not even when the old master comes back to office, having forgotten its own."""
    quick = {"repl-diskless-sync-delay": "0"}
    with wanted(running(source, settings=quick)) as one, wanted(running(source, settings=quick)) as other:
        here, there = (f"{server.url}?namespace=fence" for server in (one, other))
        await enqueued(here)
        await follows(other, one)
        ask(other.port, "REPLICAOF", "NO", "ONE")
        lost = await claimed(here)
        await follows(one, other)
        ask(one.port, "REPLICAOF", "NO", "ONE")
        first = await claimed(here)
        second = await claimed(there)

        assert len({lost.epoch, first.epoch, second.epoch}) == 3
        assert await settled(here, lost) is Accepted.STALE
        assert await settled(there, lost) is Accepted.STALE
        assert await settled(there, first) is Accepted.STALE
        assert await settled(there, second) is Accepted.ACCEPTED


async def follows(replica: Redis, master: Redis) -> None:
    """Until one has all that the other has, and nothing else."""
    ask(replica.port, "REPLICAOF", "127.0.0.1", master.port)
    await asyncio.to_thread(
        sentinel.until,
        "the replica follows",
        lambda: ask(replica.port, "INFO", "replication")["master_link_status"] == "up",
    )


async def test_as_long_as_nothing_can_be_lost_epochs_count(source: str) -> None:
    with wanted(running(source)) as server:
        url = f"{server.url}?namespace={new_name()}"
        for number in range(1, 4):
            async with opened(url) as store:
                await store.enqueue([job("a", max_attempts=9, max_crashes=9)])
                (found,) = await store.claim([Want("default", 1)], kinds=["work"], worker="w", lease=1)
                assert (await store.sweep()).rescued == 1
                assert found.epoch == 2 * number - 1
