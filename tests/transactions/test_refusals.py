"""Connections that cannot carry a job: each is refused with the reason and the remedy, and nothing is written."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from tests.servers.postgres import Postgres
from tests.transactions.test_joined import mail

from tidewheel import App, ConfigError, SchemaMismatch, StoreError, StoreUnavailable


async def count(app: App) -> int:
    return len((await app.jobs.list()).jobs)


def server(app: App) -> str:
    return app.url.partition("?")[0]


def file(app: App) -> str:
    return app.url.removeprefix("sqlite:///")


# --- objects that are no connections ---


@pytest.mark.parametrize("wrong", ["a string", 5, {}, object()])
async def test_what_is_no_connection_is_told_what_is(wrong: object, sqlite_app: App) -> None:
    send = mail(sqlite_app)
    refused = pytest.raises(TypeError, match=r"none of: sqlite3.Connection; an asyncpg connection; psycopg's")
    with refused:
        sqlite_app.enqueue_in(wrong, [send.job("a")])
    with refused:
        await sqlite_app.enqueue_many([send.job("a")], connection=wrong)
    with refused:
        await send.options(connection=wrong).enqueue("a")
    assert await count(sqlite_app) == 0


async def test_an_engine_is_no_connection(sqlite_app: App) -> None:
    engine = create_engine("sqlite://")
    with pytest.raises(TypeError, match="not what makes one"):
        sqlite_app.enqueue_in(engine, [mail(sqlite_app).job("a")])


async def test_the_sync_call_refuses_async_connections(sqlite_app: App) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{file(sqlite_app)}")
    async with engine.connect() as connection:
        with pytest.raises(TypeError, match=r"await app.enqueue_many\(jobs, connection="):
            sqlite_app.enqueue_in(connection, [mail(sqlite_app).job("a")])
    await engine.dispose()


async def test_a_prepared_job_carries_no_connection(sqlite_app: App) -> None:
    send = mail(sqlite_app)
    connection = sqlite3.connect(file(sqlite_app))
    with pytest.raises(ConfigError, match="carries no connection"):
        send.options(connection=connection).job("a")
    connection.close()


@pytest.mark.parametrize("url", ["memory://", "redis://127.0.0.1:1/0"])
async def test_stores_without_transactions_name_the_outbox(url: str) -> None:
    app = App(url)
    send = mail(app)
    connection = sqlite3.connect(":memory:")
    with pytest.raises(ConfigError, match=r"outbox.*tidewheel\.Outbox"):
        app.enqueue_in(connection, [send.job("a")])
    with pytest.raises(ConfigError, match=r"tidewheel\.Outbox"):
        await send.options(connection=connection).enqueue("a")
    connection.close()


async def test_the_stores_say_whether_they_can(sqlite_app: App, postgres_app: App, redis_url: str) -> None:
    assert (await sqlite_app.info()).tx
    assert (await postgres_app.info()).tx
    async with App(redis_url) as redis, App("memory://") as memory:
        assert not (await redis.info()).tx
        assert not (await memory.info()).tx


# --- no transaction ---


async def test_autocommit_is_refused_on_sqlite(sqlite_app: App) -> None:
    send = mail(sqlite_app)
    connection = sqlite3.connect(file(sqlite_app), isolation_level=None)
    with pytest.raises(StoreError, match=r"no transaction open.*BEGIN IMMEDIATE"):
        sqlite_app.enqueue_in(connection, [send.job("a")])
    connection.close()
    assert await count(sqlite_app) == 0


async def test_autocommit_is_refused_on_postgres(postgres_app: App) -> None:
    send = mail(postgres_app)
    bare = await asyncpg.connect(server(postgres_app))
    with pytest.raises(StoreError, match=r"no transaction open.*connection.transaction"):
        await postgres_app.enqueue_many([send.job("a")], connection=bare)
    await bare.close()
    with psycopg.connect(server(postgres_app), autocommit=True) as connection:
        with pytest.raises(StoreError, match=r"autocommit.*no transaction open"):
            postgres_app.enqueue_in(connection, [send.job("a")])
        with connection.transaction():
            postgres_app.enqueue_in(connection, [send.job("a")])
    engine = create_engine(
        server(postgres_app).replace("postgresql", "postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as one, pytest.raises(StoreError, match="autocommit"):
        postgres_app.enqueue_in(one, [send.job("a")])
    engine.dispose()
    assert await count(postgres_app) == 1


# --- closed ---


async def test_closed_connections_are_refused(sqlite_app: App, postgres_app: App) -> None:
    send, also = mail(sqlite_app), mail(postgres_app)
    closed = sqlite3.connect(file(sqlite_app))
    closed.close()
    with pytest.raises(StoreError, match="is closed"):
        sqlite_app.enqueue_in(closed, [send.job("a")])

    one = await asyncpg.connect(server(postgres_app))
    await one.close()
    with pytest.raises(StoreError, match=r"asyncpg connection.*is closed"):
        await postgres_app.enqueue_many([also.job("a")], connection=one)

    async with asyncpg.create_pool(server(postgres_app), min_size=1, max_size=1) as pool:
        lent = await pool.acquire()
        await pool.release(lent)
        with pytest.raises(StoreError, match="given back to its pool"):
            await postgres_app.enqueue_many([also.job("a")], connection=lent)

    with psycopg.connect(server(postgres_app)) as gone:
        pass
    with pytest.raises(StoreError, match=r"psycopg connection.*is closed"):
        postgres_app.enqueue_in(gone, [also.job("a")])

    engine = create_engine(f"sqlite:///{file(sqlite_app)}")
    connection = engine.connect()
    connection.close()
    with pytest.raises(StoreError, match=r"SQLAlchemy connection.*is closed"):
        sqlite_app.enqueue_in(connection, [send.job("a")])
    engine.dispose()


async def test_another_thread_names_the_sync_call(sqlite_app: App) -> None:
    send = mail(sqlite_app)
    connection = sqlite3.connect(file(sqlite_app))
    with pytest.raises(StoreError, match=r"another thread.*app\.enqueue_in"):
        await asyncio.to_thread(lambda: sqlite_app.enqueue_in(connection, [send.job("a")]))
    connection.close()


# --- elsewhere ---


async def test_another_file_is_refused(sqlite_app: App, tmp_path: Path) -> None:
    send = mail(sqlite_app)
    for place in (str(tmp_path / "shop.db"), ":memory:"):
        connection = sqlite3.connect(place)
        with pytest.raises(
            StoreError, match=r"leads to .*(shop\.db|in memory), and this app's jobs live in .*jobs\.db"
        ):
            sqlite_app.enqueue_in(connection, [send.job("a")])
        assert not connection.in_transaction
        connection.close()


async def test_a_file_without_tables_says_how_they_are_made(tmp_path: Path) -> None:
    app = App(f"sqlite:///{tmp_path / 'jobs.db'}")
    send = mail(app)
    connection = sqlite3.connect(tmp_path / "jobs.db")
    with pytest.raises(SchemaMismatch, match="tidewheel migrate --store"):
        app.enqueue_in(connection, [send.job("a")])
    connection.close()
    await app.migrate()
    connection = sqlite3.connect(tmp_path / "jobs.db")
    app.enqueue_in(connection, [send.job("a")])
    connection.commit()
    connection.close()
    assert await count(app) == 1
    await app.close()


async def test_a_database_without_tables_leaves_the_transaction_usable(postgres_url: str) -> None:
    app = App(postgres_url)
    with psycopg.connect(server(app)) as connection:
        with pytest.raises(SchemaMismatch, match=r"no tables of Tidewheel's.*tidewheel migrate --store"):
            app.enqueue_in(connection, [mail(app).job("a")])
        assert connection.execute("SELECT 1").fetchone() == (1,)


async def test_another_database_is_refused(postgres_app: App, postgres: Postgres) -> None:
    """Also when it has tables of ours under the same name, and whether the app is open or not."""
    send = mail(postgres_app)
    other_url = f"postgresql://tester@127.0.0.1:{postgres.port}/other"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS other")
        connection.execute("CREATE DATABASE other")
    schema = postgres_app.url.partition("?")[2]
    other = App(f"{other_url}?{schema}")
    await other.migrate()
    never_opened = App(postgres_app.url)
    for app in (postgres_app, never_opened):
        with psycopg.connect(other_url) as connection:
            with pytest.raises(
                StoreError, match=r"leads to the database other, and this app's jobs live in .*/postgres"
            ):
                app.enqueue_in(connection, [send.job("a")])
            assert connection.execute("SELECT 1").fetchone() == (1,)


async def test_the_same_names_on_another_server_are_noticed_by_an_open_app(postgres_app: App) -> None:
    """Made at another moment, they are other tables."""
    send = mail(postgres_app)
    schema = postgres_app.url.partition("schema=")[2]
    with psycopg.connect(server(postgres_app)) as connection:
        connection.execute(f"UPDATE {schema}.migrations SET applied_at = 1 WHERE version = 1".encode())  # noqa: S608 -- ours
        with pytest.raises(StoreError, match="another database named postgres"):
            postgres_app.enqueue_in(connection, [send.job("a")])


async def test_sqlite_and_postgres_are_told_apart(sqlite_app: App, postgres_app: App) -> None:
    here = sqlite3.connect(file(sqlite_app))
    with pytest.raises(StoreError, match="leads to SQLite, and this app's jobs live in postgresql://"):
        postgres_app.enqueue_in(here, [mail(postgres_app).job("a")])
    here.close()
    with (
        psycopg.connect(server(postgres_app)) as there,
        pytest.raises(StoreError, match=r"leads to PostgreSQL, and this app's jobs live in .*jobs\.db"),
    ):
        sqlite_app.enqueue_in(there, [mail(sqlite_app).job("a")])


# --- somebody in the way ---


async def test_a_failed_transaction_says_roll_back(postgres_app: App) -> None:
    with psycopg.connect(server(postgres_app)) as connection:
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT 1/0")
        with pytest.raises(StoreError, match="Roll it back first"):
            postgres_app.enqueue_in(connection, [mail(postgres_app).job("a")])
        connection.rollback()


async def test_missing_rights_are_named(postgres_app: App) -> None:
    url = server(postgres_app)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS clerk")
        connection.execute("CREATE ROLE clerk LOGIN")
    with psycopg.connect(url.replace("tester", "clerk")) as connection:
        with pytest.raises(StoreError, match=r"lacks a right.*Grant it USAGE"):
            postgres_app.enqueue_in(connection, [mail(postgres_app).job("a")])
        assert connection.execute("SELECT 1").fetchone() == (1,)


async def test_a_locked_file_may_be_tried_again(sqlite_app: App) -> None:
    send = mail(sqlite_app)
    holder = sqlite3.connect(file(sqlite_app))
    holder.execute("BEGIN IMMEDIATE")
    other = sqlite3.connect(file(sqlite_app), timeout=0)
    with pytest.raises(StoreUnavailable, match="repeat the whole transaction"):
        sqlite_app.enqueue_in(other, [send.job("a")])
    holder.rollback()
    sqlite_app.enqueue_in(other, [send.job("a")])
    other.commit()
    holder.close()
    other.close()
    assert await count(sqlite_app) == 1


@pytest.mark.parametrize(("end", "created"), [("commit", False), ("rollback", True)])
async def test_a_unique_key_in_another_open_transaction_is_waited_for(
    postgres_app: App, until_blocked: Callable[[asyncpg.Connection[Any]], Any], end: str, created: bool
) -> None:
    send = mail(postgres_app)
    one, two = await asyncpg.connect(server(postgres_app)), await asyncpg.connect(server(postgres_app))
    first, second = one.transaction(), two.transaction()
    await first.start()
    await second.start()
    holder = await send.options(connection=one, unique="k").enqueue("a")
    waiting = asyncio.create_task(send.options(connection=two, unique="k").enqueue("b"))
    await until_blocked(two)
    await getattr(first, end)()
    answer = await waiting
    await second.commit()
    await one.close()
    await two.close()

    assert answer.created is created
    assert (answer.id == holder.id) is not created
    assert await count(postgres_app) == 1


async def test_a_serialization_failure_may_be_tried_again(postgres_app: App) -> None:
    send = mail(postgres_app)
    connection = await asyncpg.connect(server(postgres_app))
    async with connection.transaction(isolation="repeatable_read"):
        await connection.fetch("SELECT 1")
        await send.options(unique="k").enqueue("a")
        with pytest.raises(StoreUnavailable, match="repeat the whole transaction"):
            await send.options(connection=connection, unique="k").enqueue("b")
        assert await connection.fetchval("SELECT 2") == 2
    await connection.close()


async def test_a_connection_that_breaks_may_be_tried_again(postgres_app: App) -> None:
    send = mail(postgres_app)
    url = server(postgres_app)
    sync = psycopg.connect(url)
    other = await asyncpg.connect(url)
    transaction = other.transaction()
    await transaction.start()
    pids = [sync.info.backend_pid, other.get_server_pid()]
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as killer:
        await killer.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::int[]) AS pid", (pids,))
    with pytest.raises(StoreUnavailable, match="repeat the whole transaction"):
        postgres_app.enqueue_in(sync, [send.job("a")])
    with pytest.raises(StoreError, match=r"repeat the whole transaction|is closed"):
        await postgres_app.enqueue_many([send.job("a")], connection=other)
    sync.close()
    await other.close()


async def test_a_connection_is_asked_once_where_it_leads(postgres_app: App) -> None:
    send = mail(postgres_app)
    url = server(postgres_app)
    seen: list[str] = []
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool:
        for _ in range(2):
            async with pool.acquire() as connection, connection.transaction():
                with connection.query_logger(lambda query: seen.append(query.query)):
                    await send.options(connection=connection).enqueue("a")
    assert len([query for query in seen if "current_database" in query]) == 1
    assert len([query for query in seen if "INSERT INTO" in query]) == 2


def test_importing_tidewheel_loads_no_driver(loaded_by: Callable[[str], set[str]]) -> None:
    loaded = loaded_by("import tidewheel; tidewheel.App('sqlite:///x.db'); tidewheel.Outbox")
    assert not loaded & {"asyncpg", "psycopg", "sqlalchemy", "aiosqlite"}
    assert not loaded_by("import tidewheel") & {"sqlite3", "asyncpg"}
