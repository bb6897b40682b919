"""Transactions as people write them: without a loop, in blocks, nested, in a pipeline."""

from __future__ import annotations

import asyncio
import sqlite3

import asyncpg
import psycopg
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from tests.transactions.test_joined import mail

from tidewheel import App


def plain(app: App) -> str:
    return app.url.partition("?")[0]


async def payloads(app: App) -> list[str]:
    return [job.payload["to"] for job in reversed((await app.jobs.list()).jobs)]


def test_sync_code_needs_no_loop_on_sqlite(sqlite_url: str) -> None:
    app = App(sqlite_url)
    send = mail(app)
    app.run_sync(app.migrate())
    connection = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    with connection:
        app.enqueue_in(connection, [send.job("a")])
    connection.close()
    assert app.run_sync(payloads(app)) == ["a"]
    app.run_sync(app.close())


def test_sync_code_needs_no_loop_on_postgres(postgres_url: str) -> None:
    app = App(postgres_url)
    send = mail(app)
    app.run_sync(app.migrate())
    with psycopg.connect(plain(app)) as connection:
        app.enqueue_in(connection, [send.job("a")])
    engine = create_engine(plain(app).replace("postgresql", "postgresql+psycopg"))
    with Session(engine) as session, session.begin():
        app.enqueue_in(session, [send.job("b")])
    engine.dispose()
    assert app.run_sync(payloads(app)) == ["a", "b"]
    app.run_sync(app.close())


async def test_begin_blocks_of_sqlalchemy(postgres_app: App) -> None:
    """The driver below begins only with the first statement, which may be ours."""
    app, send = postgres_app, mail(postgres_app)
    for scheme in ("postgresql+asyncpg", "postgresql+psycopg"):
        engine = create_async_engine(plain(app).replace("postgresql", scheme))
        async with engine.begin() as connection:
            await send.options(connection=connection).enqueue("core")
        async with AsyncSession(engine) as session, session.begin():
            await send.options(connection=session).enqueue("orm")
        async with AsyncSession(engine) as session, session.begin():
            await send.options(connection=session).enqueue("kept")
            nested = await session.begin_nested()
            await send.options(connection=session).enqueue("undone")
            await nested.rollback()
        await engine.dispose()
    assert await payloads(app) == ["core", "orm", "kept"] * 2


async def test_savepoints_of_the_caller(postgres_app: App) -> None:
    app, send = postgres_app, mail(postgres_app)
    one = await asyncpg.connect(plain(app))
    async with one.transaction():
        await send.options(connection=one).enqueue("a")
        inner = one.transaction()
        await inner.start()
        await send.options(connection=one).enqueue("undone")
        await inner.rollback()
    await one.close()
    with psycopg.connect(plain(app)) as connection:
        app.enqueue_in(connection, [send.job("b")])
        with connection.transaction(force_rollback=True):
            app.enqueue_in(connection, [send.job("undone")])
    with psycopg.connect(plain(app), autocommit=True) as connection, connection.transaction():
        app.enqueue_in(connection, [send.job("c")])
    assert await payloads(app) == ["a", "b", "c"]


async def test_a_pipeline_of_psycopg(postgres_app: App) -> None:
    app, send = postgres_app, mail(postgres_app)
    with psycopg.connect(plain(app)) as connection, connection.pipeline():
        connection.execute("SELECT 1")
        app.enqueue_in(connection, [send.job("a"), send.options(unique="k").job("b")])
        (twin,) = app.enqueue_in(connection, [send.options(unique="k").job("c")])
        assert not twin.created
        connection.commit()
    assert await payloads(app) == ["a", "b"]


async def test_an_enqueue_that_is_cancelled_leaves_nothing_half_done(postgres_app: App) -> None:
    app, send = postgres_app, mail(postgres_app)
    holder, other = await asyncpg.connect(plain(app)), await asyncpg.connect(plain(app))
    first = holder.transaction()
    await first.start()
    await send.options(connection=holder, unique="k").enqueue("a")
    async with other.transaction():
        try:
            async with asyncio.timeout(0.05):
                await app.enqueue_many([send.job("lost"), send.options(unique="k").job("lost")], connection=other)
        except TimeoutError:
            pass
        await send.options(connection=other).enqueue("b")
    await first.commit()
    await holder.close()
    await other.close()
    assert sorted(await payloads(app)) == ["a", "b"]


async def test_sqlite_jobs_are_found_by_the_poll(sqlite_app: App) -> None:
    app, send = sqlite_app, mail(sqlite_app)
    worker = app.worker(poll="10ms")
    running = asyncio.create_task(worker.run())
    assert await (await send.enqueue("first")).result(timeout="10s") == "first"
    connection = sqlite3.connect(app.url.removeprefix("sqlite:///"))
    with connection:
        (job,) = app.enqueue_in(connection, [send.job("second")])
    connection.close()
    assert await job.result(timeout="10s") == "second"
    worker.stop()
    await running
