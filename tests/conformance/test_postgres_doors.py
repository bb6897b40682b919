"""Bad input: every closed door of a PostgreSQL server is told with its remedy, before any job is touched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from tests.servers.postgres import Postgres

from tidewheel import SchemaMismatch, StoreError, StoreUnavailable
from tidewheel._model.job import NewJob
from tidewheel._store.postgres import PostgresStore
from tidewheel._store.postgres.schema import newest
from tidewheel._store.postgres.sql import with_schema

_ROLES: Final = """
CREATE ROLE locked LOGIN PASSWORD 'right';
CREATE ROLE tls_only LOGIN;
CREATE ROLE guest LOGIN;
CREATE ROLE reader LOGIN SUPERUSER;
ALTER ROLE reader SET default_transaction_read_only = on;
"""


async def sql(url: str, *texts: str, schema: str = "tidewheel") -> None:
    connection = await asyncpg.connect(url)
    try:
        for text in texts:
            await connection.execute(with_schema(text, schema))
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def doors(postgres: Postgres) -> Callable[[str, str], str]:
    """URLs for other users and databases."""
    with suppress(asyncpg.DuplicateObjectError):
        asyncio.run(sql(postgres.url, _ROLES))
    return lambda login, database: f"postgresql://{login}@127.0.0.1:{postgres.port}/{database}"


@pytest.mark.parametrize(
    ("login", "database", "error", "said"),
    [
        ("locked:wrong", "postgres", StoreError, "Check user and password"),
        ("tester", "nowhere", StoreError, "createdb nowhere"),
        ("guest", "postgres?schema=of_guest", StoreError, 'CREATE SCHEMA "of_guest" AUTHORIZATION "guest"'),
        ("reader", "postgres?schema=of_reader", StoreUnavailable, "read-only"),
        ("tester", "postgres?sslmode=require", StoreError, "?sslmode="),
        ("tls_only", "postgres", StoreError, "pg_hba.conf"),
    ],
)
async def test_a_closed_door_names_the_remedy(
    doors: Callable[[str, str], str], login: str, database: str, error: type[StoreError], said: str
) -> None:
    store = PostgresStore(doors(login, database))
    with pytest.raises(StoreError) as caught:
        await store.open()
    assert type(caught.value) is error
    assert said in str(caught.value)
    assert "wrong" not in str(caught.value).replace("wrong_", "")
    await store.close()


@pytest.mark.parametrize("place", ["127.0.0.1:1", "host.invalid"])
async def test_nobody_there(place: str) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        await PostgresStore(f"postgresql://ada:s3cret@{place}/jobs").open()
    assert "postgresql://ada@" in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_foreign_tables_are_not_touched(postgres: Postgres, new_schema: Callable[[], str]) -> None:
    name = new_schema()
    await sql(postgres.url, "CREATE SCHEMA {schema}", "CREATE TABLE {schema}.jobs (ours integer)", schema=name)
    with pytest.raises(SchemaMismatch, match="did not make"):
        await PostgresStore(f"{postgres.url}?schema={name}").open()
    await sql(postgres.url, "INSERT INTO {schema}.jobs VALUES (1)", schema=name)


async def test_a_table_of_the_ledgers_name_is_told_by_its_columns(
    postgres: Postgres, new_schema: Callable[[], str]
) -> None:
    name = new_schema()
    await sql(postgres.url, "CREATE SCHEMA {schema}", "CREATE TABLE {schema}.migrations (app text)", schema=name)
    with pytest.raises(SchemaMismatch, match=r"not Tidewheel's \(its columns are app\).*\?schema=NAME"):
        await PostgresStore(f"{postgres.url}?schema={name}").open()


async def test_tables_without_a_record_are_foreign(postgres: Postgres, new_schema: Callable[[], str]) -> None:
    name = new_schema()
    store = PostgresStore(f"{postgres.url}?schema={name}")
    await store.open()
    await store.close()
    await sql(postgres.url, "DELETE FROM {schema}.migrations", schema=name)
    with pytest.raises(SchemaMismatch, match="no record of Tidewheel making them"):
        await store.open()


@pytest.mark.parametrize(
    ("rights", "said"),
    [
        ("SELECT", r"jobs \(DELETE\), jobs \(INSERT\), jobs \(UPDATE\), attempts"),
        ("SELECT, INSERT, UPDATE", r"jobs \(DELETE\), attempts \(DELETE\)"),
    ],
)
async def test_a_user_with_too_few_rights_is_refused_before_any_job(
    postgres: Postgres, new_schema: Callable[[], str], doors: Callable[[str, str], str], rights: str, said: str
) -> None:
    name = new_schema()
    owner = PostgresStore(f"{postgres.url}?schema={name}")
    await owner.open()
    await owner.close()
    grants = ("GRANT USAGE ON SCHEMA {schema} TO guest", f"GRANT {rights} ON ALL TABLES IN SCHEMA {{schema}} TO guest")
    await sql(postgres.url, *grants, schema=name)
    guest = PostgresStore(doors("guest", f"postgres?schema={name}"))
    with pytest.raises(StoreError, match=said + ".* Let their owner run: GRANT") as caught:
        await guest.open()
    assert not caught.value.retriable

    await sql(postgres.url, "GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO guest", schema=name)
    await guest.open()
    assert (await guest.enqueue([NewJob(id="a", kind="work", args="{}")]))[0].inserted
    await guest.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("sslmode=verify-full&sslrootcert=/nowhere/it.pem", "cannot read sslrootcert=/nowhere/it.pem"),
        ("sslmode=require&sslcert=/nowhere/it.pem", "cannot read sslcert=/nowhere/it.pem"),
        ("sslmode=verify-full", r"No TLS connection .*\?sslrootcert="),
    ],
)
async def test_a_certificate_that_is_not_there_is_named_and_not_waited_for(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: str, said: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where the driver looks for those that the URL does not name
    store = PostgresStore(f"{postgres.url}?{options}")
    with pytest.raises(StoreError, match=said) as caught:
        await store.open()
    assert not caught.value.retriable


async def test_a_newer_or_changed_schema_is_refused(postgres: Postgres, new_schema: Callable[[], str]) -> None:
    name = new_schema()
    url = f"{postgres.url}?schema={name}"
    store = PostgresStore(url)
    assert await store.migrate() == (0, newest())
    await sql(postgres.url, "INSERT INTO {schema}.migrations VALUES (99, '099_far.sql', 'x', 0)", schema=name)
    with pytest.raises(SchemaMismatch, match="Upgrade Tidewheel"):
        await PostgresStore(url).open()
    await sql(postgres.url, "DELETE FROM {schema}.migrations WHERE version = 99", schema=name)
    await sql(postgres.url, "UPDATE {schema}.migrations SET checksum = 'other'", schema=name)
    with pytest.raises(SchemaMismatch, match="another text"):
        await PostgresStore(url).open()


async def test_missing_tables_are_told(postgres: Postgres, new_schema: Callable[[], str]) -> None:
    name = new_schema()
    store = PostgresStore(f"{postgres.url}?schema={name}")
    await store.open()
    await sql(postgres.url, "DROP TABLE {schema}.logs, {schema}.jobs", schema=name)
    with pytest.raises(SchemaMismatch, match="tidewheel migrate"):
        await store.enqueue([NewJob(id="a", kind="work", args="{}")])
    await store.close()
