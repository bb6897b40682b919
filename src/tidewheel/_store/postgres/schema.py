"""The schema's history in PostgreSQL: migrations are applied in one transaction under an advisory lock.
`_store/ledger.py` judges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidewheel._model.errors import StoreError
from tidewheel._store.ledger import Ledger
from tidewheel._store.postgres.sql import CLOCK, migrations, with_schema

if TYPE_CHECKING:
    from tidewheel._store.postgres.connect import Connection
    from tidewheel._store.postgres.options import PostgresOptions

_NAME: Final = "migrations"
_TABLES: Final = ("jobs", "attempts", "logs", "queues", "workers", "limits", "gates", "keys", "edges")
_LEDGER: Final = """CREATE TABLE IF NOT EXISTS {schema}.migrations (
    version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at bigint NOT NULL)"""
_COLUMNS: Final = {"version", "name", "checksum", "applied_at"}
_WAIT: Final = "3s"  # who waits for a lock on the tables makes everybody behind him wait, too
_LONG: Final = 86_400.0
_LOCK: Final = 0x71DE3EE1  # any number of ours; with the schema's hash it is one lock for each schema


def newest() -> int:
    """The schema version this code is written for."""
    return migrations()[-1].number


async def current(connection: Connection, options: PostgresOptions) -> int:
    """The schema version found, 0 when none of our tables is there.

    Raises:
        SchemaMismatch: tables of our names that we did not make, a newer schema, or a changed migration.
    """
    ledger = _ledger(options)
    found = {
        row[0]: set(row[1])
        for row in await connection.fetch(
            "SELECT c.relname::text, array_agg(a.attname::text) FROM pg_catalog.pg_class AS c "
            "JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
            "LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
            "WHERE n.nspname = $1 AND c.relname::text = ANY ($2::text[]) GROUP BY c.relname",
            options.schema,
            [_NAME, *_TABLES],
        )
    }
    columns = found.pop(_NAME, None)
    if columns is None:
        ledger.check_foreign(found)
        return 0
    if not columns >= _COLUMNS:
        raise ledger.foreign_ledger(_NAME, {str(column) for column in columns})
    rows = await connection.fetch(with_schema("SELECT version, checksum FROM {schema}.migrations", options.schema))
    return ledger.version({row[0]: row[1] for row in rows}, found)


async def check_rights(connection: Connection, options: PostgresOptions) -> None:
    """Refuse to begin with less than all the rights on our tables: later it would be in the middle of a job.

    Raises:
        StoreError: names the tables and the rights.
    """
    lacking = await connection.fetchval(
        "SELECT string_agg(name || ' (' || kind || ')', ', ' ORDER BY place, kind) "
        "FROM unnest($2::text[]) WITH ORDINALITY AS own (name, place), "
        "unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS kind "
        "WHERE NOT has_table_privilege(format('%I.%I', $1::text, name), kind)",
        options.schema,
        list(_TABLES),
    )
    if lacking:
        raise StoreError(
            f'The user {options.user} lacks rights on tables of the schema "{options.schema}" of {options.shown}: '
            f"{lacking}. Let their owner run: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "
            f'"{options.schema}" TO "{options.user}".'
        )


def check_automatic(version: int, options: PostgresOptions) -> None:
    """See `Ledger.check_automatic`."""
    _ledger(options).check_automatic(version, options.migrate)


async def upgrade(connection: Connection, options: PostgresOptions) -> tuple[int, int]:
    """Apply what is missing; gives the version before and after. Of several at once the first does the work."""
    async with connection.transaction():
        # Of the transaction, not of the session: it is gone with it, also behind a pooler.
        await connection.execute("SELECT pg_advisory_xact_lock($1, hashtext($2))", _LOCK & 0x7FFFFFFF, options.schema)
        before = await current(connection, options)
        missing = _ledger(options).missing(before)
        if missing:
            await _make_room(connection, options)
        if before:
            await connection.execute(f"SET LOCAL lock_timeout = '{_WAIT}'")
        for migration in missing:
            await connection.execute(with_schema(migration.text, options.schema), timeout=_LONG)
            await connection.execute(
                with_schema(f"INSERT INTO {{schema}}.migrations VALUES ($1, $2, $3, {CLOCK})", options.schema),
                migration.number,
                migration.name,
                migration.checksum,
            )
    return before, max(before, newest())


async def _make_room(connection: Connection, options: PostgresOptions) -> None:
    exists = await connection.fetchval(
        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1)", options.schema
    )
    if not exists:  # IF NOT EXISTS would ask for the right to create one in any case
        await connection.execute(with_schema("CREATE SCHEMA {schema}", options.schema))
    await connection.execute(with_schema(_LEDGER, options.schema))


def _ledger(options: PostgresOptions) -> Ledger:
    place = f'The PostgreSQL schema "{options.schema}" of {options.shown}'
    remedy = f"tidewheel migrate --store '{options.shown}'"
    return Ledger(place, "another schema (?schema=NAME)", remedy, migrations())
