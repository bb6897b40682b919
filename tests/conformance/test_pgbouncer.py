"""The PostgreSQL store keeps every promise behind a pooler that hands out connections by the transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner
from tests.conformance._schemas import Schemas
from tests.servers._process import wanted
from tests.servers.pgbouncer import PgBouncer, pooling
from tests.servers.postgres import Postgres

from tidewheel import App, StoreError
from tidewheel._cli.check import check
from tidewheel._model.job import NewJob
from tidewheel._model.worker import Wakeup
from tidewheel._store.postgres import PostgresStore, listen
from tidewheel.testing.conformance import *  # noqa: F403  # the promises, one class per theme
from tidewheel.testing.conformance.kit import StoreMaker


@pytest.fixture(scope="session")
def pgbouncer(newest_postgres: Postgres) -> Iterator[PgBouncer]:
    with wanted(pooling(newest_postgres)) as one:
        yield one


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not come back at once does not come back: nothing but a pooler is in the way."""
    monkeypatch.setattr(listen, "_PROBE", 0.05)


@pytest.fixture
def make_store(
    pgbouncer: PgBouncer,
    newest_postgres: Postgres,
    schemas: Callable[[Postgres], Schemas],
    record_property: Callable[[str, object], None],
) -> Iterator[StoreMaker]:
    record_property("store", f"{newest_postgres.name} behind {pgbouncer.name}")
    with schemas(newest_postgres).some() as schema:
        yield lambda env: PostgresStore(f"{pgbouncer.url}?schema={schema()}", env)


async def test_transaction_pooling_is_noticed_on_opening_and_polling_takes_over(
    pgbouncer: PgBouncer, new_schema: Callable[[], str]
) -> None:
    url = f"{pgbouncer.url}?schema={new_schema()}"
    app = App(url)

    @app.task
    async def double(number: int) -> int:
        return number * 2

    async with app, App(url) as caller:  # the second has a store of its own, as another process has
        info = await app.info()
        assert not info.listen
        assert "Transaction pooling found" in info.notes[0]
        assert "polling" in info.notes[0]
        assert 'ALTER ROLE "tester" SET enable_seqscan = off' in info.notes[1]
        worker = app.worker(signals=False, poll="20ms")
        running = asyncio.create_task(worker.run())
        job = await double.options(id="one").enqueue(4)
        assert await job.result(timeout="10s") == 8
        other = await caller.jobs.get("one")
        assert other is not None
        assert await other.result(timeout="10s") == 8
        worker.stop()
        await running


async def test_a_pooler_that_hands_out_connections_by_the_session_lets_notifications_through(
    newest_postgres: Postgres, new_schema: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "_PROBE", 3.0)
    with wanted(pooling(newest_postgres, pool_mode="session", default_pool_size="20")) as pooler:
        store = PostgresStore(f"{pooler.url}?schema={new_schema()}")
        await store.open()
        info = await store.info()
        assert info.listen
        assert "LISTEN works" in info.notes[0]
        other = PostgresStore(store.options)
        await other.open()
        async with store.wakeups(frozenset({Wakeup.WORK})) as hints:
            await other.enqueue([NewJob(id="a", kind="work", args="{}")])
            assert await anext(hints) == {Wakeup.WORK}
        await other.close()
        await store.close()


async def test_prepared_statements_that_do_not_pass_through_are_told(
    pgbouncer: PgBouncer, new_schema: Callable[[], str]
) -> None:
    """Nobody asks for them by default; who does gets an error that names the option."""
    stores = [PostgresStore(f"{pgbouncer.url}?schema={new_schema()}&statement_cache_size=100") for _ in range(3)]

    async def use_them() -> None:
        for number in range(20):
            for store in stores:
                await store.open()
                await asyncio.gather(*(store.get([str(number)]) for _ in range(3)))

    with pytest.raises(StoreError, match=r"Leave out \?statement_cache_size="):
        await use_them()
    for store in stores:
        await store.close()


def test_check_tells(pgbouncer: PgBouncer, new_schema: Callable[[], str]) -> None:
    run = CliRunner().invoke(check, ["--store", f"{pgbouncer.url}?schema={new_schema()}"], standalone_mode=False)

    said = " ".join(run.output.split())
    assert "Transaction pooling found" in said
    assert "no LISTEN" in said
    assert "every second by default" in said
