"""What code does with a schema that is older or newer than its own."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import asyncpg
import pytest

from tidewheel import App, SchemaMismatch, StoreUnavailable
from tidewheel._store.postgres import PostgresStore
from tidewheel._store.postgres import schema as postgres_schema
from tidewheel._store.postgres.options import PostgresOptions
from tidewheel._store.postgres.sql import migrations as postgres_migrations
from tidewheel._store.postgres.sql import with_schema
from tidewheel._store.sqlite.sql import migrations as sqlite_migrations


def newest(url: str) -> int:
    return (sqlite_migrations() if url.startswith("sqlite") else postgres_migrations())[-1].number


def manual(url: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}migrate=manual"


async def tell_ledger(url: str, change: str) -> None:
    """Change the record of what was applied: `LEDGER` stands for its table."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file, file:
            file.execute(change.replace("LEDGER", "tidewheel_migrations"))
        return
    options = PostgresOptions.parse(url)
    connection = await asyncpg.connect(options.dsn)
    await connection.execute(with_schema(change.replace("LEDGER", "{schema}.migrations"), options.schema))
    await connection.close()


async def opened(url: str) -> int:
    async with App(url) as app:
        return (await app.info()).schema


async def test_one_newer_is_used_and_left_as_it_is(url: str) -> None:
    ours = await opened(url)
    await tell_ledger(url, f"INSERT INTO LEDGER VALUES ({ours + 1}, 'next.sql', 'x', 0)")  # noqa: S608 -- a number

    assert await opened(url) == ours + 1
    async with App(url) as app:
        assert await app.migrate() == (ours + 1, ours + 1)


async def test_two_newer_are_refused(url: str) -> None:
    ours = await opened(url)
    await tell_ledger(url, f"INSERT INTO LEDGER VALUES ({ours + 2}, 'far.sql', 'x', 0)")  # noqa: S608 -- a number

    with pytest.raises(SchemaMismatch, match=rf"has schema version {ours + 2}, .* Upgrade Tidewheel on this machine"):
        await opened(url)


async def test_an_older_one_is_refused_where_migrating_is_manual(url: str) -> None:
    ours = await opened(url)
    await tell_ledger(url, f"DELETE FROM LEDGER WHERE version = {ours}")  # noqa: S608 -- a number

    with pytest.raises(SchemaMismatch, match=rf"version {ours - 1}, .* needs {ours}\. Run `tidewheel migrate --store"):
        await opened(manual(url))


async def test_a_first_opening_sets_up_also_where_migrating_is_manual(url: str) -> None:
    assert await opened(manual(url)) == newest(url)


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
async def test_a_migration_does_not_queue_up_behind_a_long_transaction(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_schema, "_WAIT", "50ms")
    monkeypatch.setattr(postgres_schema, "migrations", lambda: postgres_migrations()[:1])
    await PostgresStore(url).migrate()
    monkeypatch.undo()
    monkeypatch.setattr(postgres_schema, "_WAIT", "50ms")
    options = PostgresOptions.parse(url)
    other = await asyncpg.connect(options.dsn)
    async with other.transaction():
        await other.execute(with_schema("LOCK TABLE {schema}.jobs IN ACCESS SHARE MODE", options.schema))
        with pytest.raises(StoreUnavailable, match="End the long transaction"):
            await opened(url)
    await other.close()
    monkeypatch.undo()

    assert await asyncio.wait_for(opened(url), 30) == newest(url)
