"""How workers learn of a job that a caller's commit made."""

from __future__ import annotations

import asyncio

import asyncpg
import psycopg
import pytest
from tests.engine._kit import until
from tests.transactions.test_joined import mail

from tidewheel import App
from tidewheel._model.worker import Wakeup


@pytest.mark.parametrize("delayed", [False, True])
async def test_postgres_tells_at_the_commit(postgres_app: App, delayed: bool) -> None:
    send = mail(postgres_app)
    store = await postgres_app.opened()
    connection = await asyncpg.connect(postgres_app.url.partition("?")[0])
    kind = Wakeup.DUE if delayed else Wakeup.WORK
    async with store.wakeups(frozenset({kind})) as hints:
        heard = asyncio.ensure_future(anext(hints))
        async with connection.transaction():
            await send.options(connection=connection, delay="1h" if delayed else None).enqueue("a")
            await send.options(connection=connection, delay="1h" if delayed else None).enqueue("b")
            await connection.fetch("SELECT pg_notify('nobody', '')")
            assert not heard.done()
        assert await heard == {kind}
    await connection.close()


async def test_a_rollback_tells_nobody(postgres_app: App) -> None:
    send = mail(postgres_app)
    store = await postgres_app.opened()
    connection = await asyncpg.connect(postgres_app.url.partition("?")[0])
    async with store.wakeups(frozenset({Wakeup.WORK, Wakeup.SETTLED})) as hints:
        heard = asyncio.ensure_future(anext(hints))
        transaction = connection.transaction()
        await transaction.start()
        await send.options(connection=connection).enqueue("a")
        await transaction.rollback()
        # What is told of after it comes after it: so nothing came of it.
        job = await send.options(queue="other").enqueue("b")
        assert await heard == {Wakeup.WORK}
        assert [row.id for row in (await postgres_app.jobs.list()).jobs] == [job.id]
    await connection.close()


async def test_listen_off_sends_nothing(postgres_url: str) -> None:
    async with App(f"{postgres_url}&listen=off") as app:
        listener = await asyncpg.connect(postgres_url.partition("?")[0])
        schema = postgres_url.partition("schema=")[2]
        heard: list[object] = []
        for channel in (f"tidewheel:{schema}:work", "mark"):
            await listener.add_listener(channel, lambda *words: heard.append(words[2]))
        with psycopg.connect(postgres_url.partition("?")[0]) as connection:
            app.enqueue_in(connection, [mail(app).job("a")])
            connection.execute("SELECT pg_notify('mark', '')")
        await until(lambda: heard)
        assert heard == ["mark"]
        await listener.close()


async def test_a_worker_runs_the_job_after_the_commit_and_not_before(postgres_app: App) -> None:
    send = mail(postgres_app)
    worker = postgres_app.worker(poll="60s", lease="60s")  # so only the hint can wake it in time
    running = asyncio.create_task(worker.run())
    assert await (await send.enqueue("first")).result(timeout="10s") == "first"
    with psycopg.connect(postgres_app.url.partition("?")[0]) as connection:
        (job,) = postgres_app.enqueue_in(connection, [send.job("second")])
    assert await job.result(timeout="10s") == "second"
    worker.stop()
    await running
