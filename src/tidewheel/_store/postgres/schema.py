"""The schema's history: numbered migrations with checksums, applied in one transaction under an advisory lock."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from tidewheel._model.errors import SchemaMismatch
from tidewheel._store.postgres.sql import CLOCK, migrations, with_schema

if TYPE_CHECKING:
    from tidewheel._store.postgres.connect import Connection
    from tidewheel._store.postgres.options import PostgresOptions

_TABLES: Final = ("jobs", "attempts", "logs", "queues", "workers")
_LEDGER: Final = """CREATE TABLE IF NOT EXISTS {schema}.migrations (
    version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at bigint NOT NULL)"""
_COLUMNS: Final = ("version", "name", "checksum", "applied_at")
_LOCK: Final = 0x71DE3EE1  # any number of ours; with the schema's hash it is one lock for each schema


def newest() -> int:
    """The schema version this code is written for."""
    return migrations()[-1][0]


async def current(connection: Connection, options: PostgresOptions) -> int:
    """The schema version found, 0 when none of our tables is there.

    Raises:
        SchemaMismatch: tables of our names that we did not make, a newer schema, or a changed migration.
    """
    found = {
        row[0]: tuple(row[1])
        for row in await connection.fetch(
            "SELECT c.relname::text, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_class AS c "
            "JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
            "LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
            "WHERE n.nspname = $1 AND c.relname::text = ANY ($2::text[]) GROUP BY c.relname",
            options.schema,
            ["migrations", *_TABLES],
        )
    }
    if found.get("migrations") != _COLUMNS:
        if found:
            raise SchemaMismatch(
                f'The schema "{options.schema}" of {options.shown} has tables named {", ".join(sorted(found)[:3])} that '
                "Tidewheel did not make. Choose another schema with ?schema=name; nothing was touched."
            )
        return 0
    rows = await connection.fetch(with_schema("SELECT version, checksum FROM {schema}.migrations", options.schema))
    applied = {row[0]: row[1] for row in rows}
    version = max(applied, default=0)
    if version > newest():
        raise SchemaMismatch(
            f'The schema "{options.schema}" of {options.shown} has version {version}, this version of Tidewheel knows '
            f"{newest()}. Upgrade Tidewheel on this machine; nothing was touched."
        )
    for number, name, text in migrations():
        if number in applied and applied[number] != checksum(text):
            raise SchemaMismatch(
                f'Migration {name} was applied to the schema "{options.schema}" of {options.shown} with another text '
                "than the one of this version. It was made by a changed build of Tidewheel; use that build, or "
                "another schema with ?schema=name."
            )
    return version


def check_automatic(version: int, options: PostgresOptions) -> None:
    """Refuse to migrate on opening where the URL says not to; an empty schema is always set up.

    Raises:
        SchemaMismatch: the schema is older and `migrate=manual`.
    """
    if version and options.migrate == "manual":
        raise SchemaMismatch(
            f'The schema "{options.schema}" of {options.shown} has version {version}, this version needs {newest()}. '
            f"Run `tidewheel migrate --store {options.shown}`, or leave out ?migrate=manual."
        )


def checksum(text: str) -> str:
    """What the ledger remembers of a migration's text."""
    return hashlib.sha256(text.encode()).hexdigest()


async def upgrade(connection: Connection, options: PostgresOptions) -> tuple[int, int]:
    """Apply what is missing; gives the version before and after. Of several at once the first does the work."""
    async with connection.transaction():
        # Of the transaction, not of the session: it is gone with it, also behind a pooler.
        await connection.execute("SELECT pg_advisory_xact_lock($1, hashtext($2))", _LOCK & 0x7FFFFFFF, options.schema)
        before = await current(connection, options)
        if before < newest():
            exists = await connection.fetchval(
                "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1)", options.schema
            )
            if not exists:  # IF NOT EXISTS would ask for the right to create one in any case
                await connection.execute(with_schema("CREATE SCHEMA {schema}", options.schema))
            await connection.execute(with_schema(_LEDGER, options.schema))
            for number, name, text in migrations():
                if number > before:
                    await connection.execute(with_schema(text, options.schema))
                    await connection.execute(
                        with_schema(f"INSERT INTO {{schema}}.migrations VALUES ($1, $2, $3, {CLOCK})", options.schema),
                        number,
                        name,
                        checksum(text),
                    )
    return before, newest()
