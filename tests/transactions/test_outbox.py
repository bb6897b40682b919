"""The outbox: jobs as rows of the caller's own database, brought to the store of the app, each of them once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.engine._kit import FaultyStore, until
from tests.transactions._doors import Door
from tests.transactions.test_joined import mail

from tidewheel import (
    App,
    ConfigError,
    Env,
    JobState,
    Limit,
    LimitKeyError,
    Outbox,
    SchemaMismatch,
    StoreError,
    StoreUnavailable,
)
from tidewheel._model.job import NewJob
from tidewheel._model.query import Enqueued


class Picky(FaultyStore):
    """A store that refuses some jobs for good."""

    def __init__(self) -> None:
        super().__init__(Env())
        self.refuses = ""

    async def enqueue(self, jobs: Sequence[NewJob], *, now: int | None = None) -> list[Enqueued]:
        if self.refuses and any(self.refuses in job.args for job in jobs):
            raise StoreError(f"this store does not like {self.refuses}")
        return await super().enqueue(jobs, now=now)


@pytest.fixture
def store() -> Picky:
    return Picky()


@pytest.fixture
def app(store: Picky, monkeypatch: pytest.MonkeyPatch) -> App:
    made = App("memory://")
    monkeypatch.setattr(made, "_store", store)
    return made


class Shop:
    """A database of the caller's, by the driver of least words, with an outbox in it."""

    def __init__(self, outbox: Outbox, url: str) -> None:
        self.outbox = outbox
        self.url = url

    def connect(self) -> Any:
        if self.url.startswith("sqlite"):
            return sqlite3.connect(self.url.removeprefix("sqlite:///"))
        return psycopg.connect(self.url)

    def write(self, *jobs: Any) -> list[str]:
        with closing(self.connect()) as connection:
            ids = self.outbox.enqueue_in(connection, jobs)
            connection.commit()
            return ids

    def ask(self, sql: str) -> list[Any]:
        with closing(self.connect()) as connection:
            cursor = connection.execute(sql)
            rows: list[Any] = cursor.fetchall() if cursor.description else []
            connection.commit()
            return rows

    def waiting(self) -> list[str]:
        return [row[0] for row in self.ask("SELECT id FROM tidewheel_outbox ORDER BY seq")]


@pytest.fixture(params=["sqlite", "postgresql"])
def shop_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shop.db'}"
    url: str = request.getfixturevalue("postgres").url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS tidewheel_outbox")
    return url


@pytest.fixture
async def shop(app: App, shop_url: str) -> AsyncIterator[Shop]:
    outbox = Outbox(app, shop_url)
    await outbox.create_table()
    await outbox.create_table()  # may be repeated
    yield Shop(outbox, shop_url)
    await app.close()


async def ids(app: App) -> list[str]:
    return [job.id for job in reversed((await app.jobs.list(limit=1000)).jobs)]


# --- writing ---


@pytest.fixture
async def outbox_of_door(door: Door) -> Outbox:
    """An outbox in the database that a door leads to; the jobs go elsewhere."""
    other = App("memory://")
    outbox = Outbox(other, door.app.url.partition("?")[0])
    if door.app.url.startswith("postgresql"):
        await door.run("DROP TABLE IF EXISTS tidewheel_outbox")
    await door.run(outbox.ddl)
    await door.commit()
    return outbox


async def test_by_every_driver_the_commit_carries_the_rows(door: Door, outbox_of_door: Outbox) -> None:
    outbox, app = outbox_of_door, outbox_of_door.app
    send = mail(app)

    async def write(*jobs: Any) -> list[str]:
        if door.is_async:
            return await outbox.enqueue_many(jobs, connection=door.connection)
        return outbox.enqueue_in(door.connection, jobs)

    await door.run("INSERT INTO orders VALUES ('one')")
    await write(send.job("lost"))
    await door.rollback()
    await door.run("INSERT INTO orders VALUES ('two')")
    written = await write(*(send.job(str(number)) for number in range(5)))
    await door.commit()

    assert await outbox.relay(batch=2) == 5
    assert await ids(app) == written
    assert await outbox.relay() == 0


async def test_a_job_with_limits_carries_its_gates_and_the_relay_declares_them(app: App, shop: Shop) -> None:
    @app.task(concurrency=Limit(1, key="args.tenant", name="tenant"))
    async def send(tenant: str) -> None: ...

    (job_id,) = shop.write(send.job("acme"))
    with pytest.raises(LimitKeyError, match="Job 1 of the call, counted from 0"):
        shop.outbox.enqueue_in(sqlite3.connect(":memory:"), (send.job(name) for name in ("bobs", "")))
    await shop.outbox.relay()

    job = await app.jobs.info(job_id)
    assert job is not None
    assert [one.key for one in job.passes] == ["tenant:acme"]
    assert [row.name for row in await app._store.limits()] == ["tenant"]


async def test_a_delay_counts_from_the_writing(app: App, shop: Shop) -> None:
    send = mail(app)
    before = app.env.clock()
    (job_id,) = shop.write(send.options(delay="1h", queue="q", priority=7, tags=("t",), meta={"a": 1}).job("ä\0"))
    row = shop.ask("SELECT job FROM tidewheel_outbox")[0][0]
    assert '"delay":0' in row
    await shop.outbox.relay()

    job = await app.jobs.info(job_id)
    assert job is not None
    assert before + 3_600_000_000 <= job.run_at <= app.env.clock() + 3_600_000_000
    assert (job.state, job.queue, job.priority, job.tags, job.meta) == (JobState.SCHEDULED, "q", 7, ("t",), '{"a":1}')
    assert job.payload == {"to": "ä\0"}


async def test_a_missing_table_says_how_it_is_made(app: App, shop_url: str) -> None:
    outbox = Outbox(app, shop_url, table="nothing_here")
    with pytest.raises(SchemaMismatch, match=r"outbox\.create_table\(\)"):
        Shop(outbox, shop_url).write(mail(app).job("a"))
    with pytest.raises(SchemaMismatch, match=r"outbox\.create_table\(\)"):
        await outbox.relay()
    await app.close()


async def test_a_connection_elsewhere_is_refused(app: App, tmp_path: Path) -> None:
    outbox = Outbox(app, f"sqlite:///{tmp_path / 'shop.db'}")
    connection = sqlite3.connect(":memory:")
    with pytest.raises(StoreError, match=r"in memory, and this outbox is in .*shop\.db"):
        outbox.enqueue_in(connection, [mail(app).job("a")])
    connection.close()


def test_what_cannot_work_is_refused_at_once(app: App) -> None:
    with pytest.raises(ConfigError, match="must be a name") as caught:
        Outbox(app, "redis://x", table="no; drop table")
    assert len(caught.value.problems) == 2
    with pytest.raises(ConfigError, match="cannot hold an outbox"):
        Outbox(app, "mysql://user:secret@host/db")
    with pytest.raises(ConfigError, match=r"table='shop\.tidewheel_outbox'"):
        Outbox(app, "postgresql://host/db?schema=shop")
    with pytest.raises(ConfigError, match="no schemas"):
        Outbox(app, "sqlite:///shop.db", table="shop.outbox")
    assert '"shop"."outbox"' in Outbox(app, "postgresql://host/db", table="shop.outbox").ddl
    assert "secret" not in str(Outbox(app, "postgresql://user:secret@host/db"))


async def test_bounds_are_checked(app: App, shop: Shop) -> None:
    with pytest.raises(ValueError, match="batch=0 must be"):
        await shop.outbox.relay(batch=0)
    with pytest.raises(ValueError, match="poll="):
        await shop.outbox.run(poll=0)


# --- relaying ---


async def test_a_relay_that_dies_between_enqueue_and_delete_doubles_nothing(app: App, shop: Shop, store: Picky) -> None:
    send = mail(app)
    written = shop.write(*(send.job(str(number)) for number in range(5)))
    store.after["enqueue"].append(KeyboardInterrupt("killed"))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        await shop.outbox.relay()
    assert await ids(app) == written == shop.waiting()

    assert await shop.outbox.relay() == 5
    assert await ids(app) == written
    assert shop.waiting() == []


async def test_a_store_that_is_away_is_waited_for(app: App, shop: Shop, store: Picky) -> None:
    send = mail(app)
    written = shop.write(send.job("a"))
    store.away.add("enqueue")
    with pytest.raises(StoreUnavailable):
        await shop.outbox.relay()
    assert shop.waiting() == written

    running = asyncio.create_task(shop.outbox.run(poll="2ms"))
    await until(lambda: store.calls["enqueue"] > 3)
    store.away.clear()
    await until(lambda: not shop.waiting())
    written += shop.write(send.job("b"))
    await until(lambda: not shop.waiting())
    shop.outbox.stop()
    await running
    assert await ids(app) == written


async def test_a_row_that_cannot_be_read_is_set_aside(app: App, shop: Shop) -> None:
    send = mail(app)
    first = shop.write(send.job("a"))
    shop.ask("INSERT INTO tidewheel_outbox (id, job) VALUES ('bad', '{\"id\":')")
    second = shop.write(send.job("b"))

    assert await shop.outbox.relay() == 3
    assert await ids(app) == first + second
    ((name, problem),) = shop.ask("SELECT id, problem FROM tidewheel_outbox")
    assert name == "bad"
    assert "cannot be read" in problem
    assert await shop.outbox.relay() == 0


async def test_a_job_that_the_store_refuses_is_set_aside(app: App, shop: Shop, store: Picky) -> None:
    send = mail(app)
    written = shop.write(send.job("a"), send.job("poison"), send.job("b"))
    store.refuses = "poison"

    assert await shop.outbox.relay() == 3
    assert await ids(app) == [written[0], written[2]]
    assert shop.ask("SELECT problem FROM tidewheel_outbox") == [("this store does not like poison",)]
    store.refuses = ""
    shop.ask("UPDATE tidewheel_outbox SET problem = NULL")
    assert await shop.outbox.relay() == 1
    assert await ids(app) == [written[0], written[2], written[1]]


async def test_a_job_whose_backlog_is_full_keeps_its_row(
    app: App, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    @app.task(backlog=1)
    async def rare(number: int) -> None: ...

    written = shop.write(*[rare.job(number) for number in range(3)], mail(app).job("other"))
    for first in written[:3]:
        await shop.outbox.relay()
        assert await app.jobs.get(first) is not None
        await app.jobs.cancel([first])
    assert await app.jobs.get(written[3]) is not None
    assert shop.ask("SELECT count(*) FROM tidewheel_outbox") == [(0,)]
    assert [one.message for one in caplog.records] == [
        f"Rows of an outbox stay for now, {number}: the backlog of their jobs is full." for number in (2, 1)
    ]


async def test_a_store_that_refuses_everything_stops_the_relay(app: App, shop: Shop, store: Picky) -> None:
    send = mail(app)
    written = shop.write(send.job("a"), send.job("b"))
    store.refuses = "to"
    with pytest.raises(StoreError, match="does not like"):
        await shop.outbox.run(poll="2ms")
    assert shop.waiting() == written


async def test_relays_side_by_side_make_each_job_once(app: App, shop: Shop, store: Picky) -> None:
    send = mail(app)
    written = shop.write(*(send.job(str(number)) for number in range(60)))
    relays = [Outbox(app, shop.url) for _ in range(3)]
    running = [asyncio.create_task(one.run(batch=7, poll="2ms")) for one in relays]
    await until(lambda: not shop.waiting())
    for one in relays:
        one.stop()
    await asyncio.gather(*running)

    assert sorted(await ids(app)) == sorted(written)


async def test_postgres_relays_pass_over_rows_that_another_has(app: App, store: Picky, postgres: Any) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS tidewheel_outbox")
    one, two = Outbox(app, postgres.url), Outbox(app, postgres.url)
    await one.create_table()
    shop = Shop(one, postgres.url)
    send = mail(app)
    written = shop.write(*(send.job(str(number)) for number in range(4)))
    store.doors["enqueue"] = gate = asyncio.Event()
    slow = asyncio.create_task(one.relay(batch=2))
    await until(lambda: store.calls["enqueue"] == 1)
    del store.doors["enqueue"]
    assert await two.relay(batch=2) == 2
    assert await ids(app) == written[2:]
    gate.set()
    assert await slow == 2
    assert sorted(await ids(app)) == written
    await app.close()


async def test_stop_lets_an_idle_relay_return(app: App, shop: Shop) -> None:
    shop.outbox.stop()  # nothing runs: nothing happens
    running = asyncio.create_task(shop.outbox.run(poll="1h"))
    send = mail(app)
    await until(lambda: shop.outbox._stopping is not None)
    shop.write(send.job("a"))
    shop.outbox.stop()
    await running


async def test_a_broken_connection_is_opened_again(app: App, postgres: Any) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS tidewheel_outbox")
    outbox = Outbox(app, postgres.url)
    await outbox.create_table()
    shop = Shop(outbox, postgres.url)
    send = mail(app)
    running = asyncio.create_task(outbox.run(poll="2ms"))
    shop.write(send.job("a"))
    await until(lambda: not shop.waiting())
    shop.ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'tidewheel' AND query LIKE '%tidewheel_outbox%'"
    )
    shop.write(send.job("b"))
    await until(lambda: not shop.waiting())
    outbox.stop()
    await running
    assert len(await ids(app)) == 2
    await app.close()


# --- another store, as in life ---


async def test_jobs_reach_redis_and_run(redis_url: str, shop_url: str) -> None:
    async with App(redis_url) as app:
        send = mail(app)
        outbox = Outbox(app, shop_url)
        await outbox.create_table()
        shop = Shop(outbox, shop_url)
        written = shop.write(*(send.job(str(number)) for number in range(20)))
        worker = app.worker(drain_and_exit=True)
        assert await outbox.relay(batch=6) == 20
        await worker.run()
        jobs = [await app.jobs.info(one) for one in written]
        assert [job.result for job in jobs if job] == [f'"{number}"' for number in range(20)]
