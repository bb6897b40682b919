"""A lone job is heard of, and claimed, while the disk still writes it; its caller hears of it when the disk has it."""

from __future__ import annotations

import asyncio
import signal
from typing import Any, Final

import asyncpg
import pytest
from tests.conformance._postgres_kit import Place
from tests.servers.postgres import Postgres, running

from tidewheel._model.job import NewJob
from tidewheel._model.worker import Wakeup, Want
from tidewheel._store.postgres import PostgresStore, early, insert
from tidewheel._store.postgres.call import Call

LAZY: Final = {"wal_writer_delay": "10s"}
"""Nobody writes by himself what was committed: it is lost when the server is killed before anybody waits for the disk."""


def job(id: str, **changes: Any) -> NewJob:
    return NewJob(id=id, kind="work", args="{}", **changes)


class Disk:
    """In the place of `flush`: counts, and waits while it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.begun, self.done = asyncio.Event(), asyncio.Event()
        self.done.set()
        monkeypatch.setattr(insert, "flush", self.flush)

    async def flush(self, call: Call, id: str) -> None:
        self.asked += 1
        self.begun.set()
        await self.done.wait()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.mark.timeout(60)
async def test_it_is_on_the_disk_when_the_caller_hears_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at once, the server remembers it; it would not if nobody had waited for the disk."""
    with running("wheel", durable=True, settings=LAZY) as server:
        assert await _survives(server, "a")
        Disk(monkeypatch)
        assert not await _survives(server, "b")


async def _survives(server: Postgres, id: str) -> bool:
    store = PostgresStore(server.url)
    await store.open()
    await store.enqueue([job(id)])
    server.stop(signal.SIGQUIT)  # its processes end without a word, and what only its memory had is gone
    server.start()
    await store.close()
    await store.open()
    (found,) = await store.get([id])
    await store.close()
    return found is not None


async def test_a_worker_may_have_it_before_the_caller_hears_of_it(place: Place, disk: Disk) -> None:
    caller, worker = place.one, place.two
    disk.done.clear()
    async with worker.wakeups(frozenset({Wakeup.WORK})) as hints:
        enqueuing = asyncio.create_task(caller.enqueue([job("a")]))
        assert await anext(hints) == {Wakeup.WORK}
        (claimed,) = await worker.claim([Want("default", 1)], kinds=["work"], worker="w", lease=10**9)
        assert claimed.id == "a"
        await disk.begun.wait()
        assert not enqueuing.done()
        disk.done.set()
        assert (await enqueuing)[0].inserted


@pytest.mark.parametrize(
    "jobs",
    [
        [job("a", unique_key="k")],
        [job("a"), job("b")],
        [job("a", delay=10**9)],
        [job("a", expires_in=10**9)],
    ],
    ids=["a key that another caller may be answered with", "several", "later", "more"],
)
async def test_others_are_on_the_disk_before_anybody_sees_them(place: Place, disk: Disk, jobs: list[NewJob]) -> None:
    await place.one.enqueue(jobs)
    assert disk.asked == 0


async def test_only_who_wakes_others_is_early(place: Place, disk: Disk) -> None:
    for number in range(20):
        await place.one.enqueue([job(f"j{number}")])
    assert 1 <= disk.asked < 20


async def test_who_is_answered_with_a_job_waits_for_the_disk_too(place: Place, disk: Disk) -> None:
    """Its first caller may be waiting yet."""
    one, two = place.one, place.two
    await one.enqueue([job("a"), job("b")])
    (again,) = await two.enqueue([job("a")])
    assert (again.inserted, disk.asked) == (False, 1)


async def test_a_server_whose_log_others_read_is_not_written_to_for_nothing(disk: Disk) -> None:
    with running("wheel", settings={"wal_level": "logical"}) as server:
        store = PostgresStore(server.url)
        await store.open()
        await store.enqueue([job("a")])
        assert disk.asked == 0
        await store.close()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("who", ["a twin", "through a pooler", "who may not write messages", "in a transaction"])
async def test_who_is_told_of_a_job_can_rely_on_it(monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    """The caller of the job itself still waits for the disk when the server is killed."""
    with running("wheel", durable=True, settings=LAZY) as server:
        one = PostgresStore(server.url)
        await one.open()
        humble = who == "who may not write messages"
        two = PostgresStore(await _humble(server) if humble else server.url)
        await two.open()
        first, flush = Disk(monkeypatch), early.flush
        first.done.clear()
        waiting = asyncio.create_task(one.enqueue([job("a")]))
        await first.begun.wait()
        monkeypatch.setattr(insert, "flush", flush)
        assert two._session is not None
        if who == "through a pooler":
            two._session._habit._pooled = True
        if who == "in a transaction":
            own = await asyncpg.connect(server.url)
            async with own.transaction():
                (answer,) = await two.enqueue_in(own, [job("a")])
        else:
            (answer,) = await two.enqueue([job("a")])
        assert not answer.inserted
        server.stop(signal.SIGQUIT)
        server.start()
        first.done.set()
        await asyncio.wait([waiting])
        await one.close()
        await two.close()
        await two.open()
        assert [found is not None for found in await two.get(["a"])] == [True]
        await two.close()


async def test_who_loses_the_right_waits_another_way_and_is_early_no_more(place: Place) -> None:
    """Its session has asked before; its jobs are in all the same."""
    assert place.one._session is not None
    habit = place.one._session._habit
    assert habit.early

    class Forbidden:
        def __init__(self, connection: Any) -> None:
            self.asked: list[str] = []
            self._connection = connection

        async def fetchrow(self, sql: str, *values: object) -> Any:
            self.asked.append(sql)
            if "emit_message" in sql:
                raise asyncpg.InsufficientPrivilegeError
            return await self._connection.fetchrow(sql, *values)

    await place.put("a", flow=None)
    forbidden: Any = Forbidden(place.own)
    await early.flush(Call(forbidden, place.schema, habit=habit), "a")
    assert len(forbidden.asked) == 2
    assert not habit.early
    await place.put("b", flow=None)
    assert [one.id for one in await place.claim()] == ["a", "b"]


async def _humble(server: Postgres) -> str:
    """The URL of a user who may not write messages."""
    owner = await asyncpg.connect(server.url)
    kinds = await owner.fetchval(
        "SELECT string_agg(oid::regprocedure::text, ', ') FROM pg_catalog.pg_proc WHERE proname = 'pg_logical_emit_message'"
    )
    await owner.execute(
        f"REVOKE EXECUTE ON FUNCTION {kinds} FROM PUBLIC; CREATE ROLE humble LOGIN; GRANT USAGE ON SCHEMA tidewheel TO humble;"
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tidewheel TO humble"
    )
    await owner.close()
    return server.url.replace("tester@", "humble@")
