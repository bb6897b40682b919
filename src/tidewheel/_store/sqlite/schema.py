"""The schema's history: numbered migrations with checksums, applied under the write lock."""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Final

from tidewheel._model.errors import SchemaMismatch
from tidewheel._store.sqlite.options import SqliteOptions
from tidewheel._store.sqlite.sql import migrations

_LEDGER: Final = """CREATE TABLE IF NOT EXISTS tidewheel_migrations (
    version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT"""


def newest() -> int:
    """The schema version this code is written for."""
    return migrations()[-1][0]


def current(connection: sqlite3.Connection, options: SqliteOptions) -> int:
    """The schema version of the file, 0 when it has none of our tables.

    Raises:
        SchemaMismatch: tables of our names that we did not make, a newer schema, or a changed migration.
    """
    tables = {
        row[0]
        for row in connection.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'tidewheel\\_%' ESCAPE '\\'")
    }
    if "tidewheel_migrations" not in tables:
        if tables:
            raise SchemaMismatch(
                f"{options.path} has tables named {', '.join(sorted(tables)[:3])} that Tidewheel did not make. "
                "Use another file, or rename them."
            )
        return 0
    columns = {row[1] for row in connection.execute("PRAGMA table_info(tidewheel_migrations)")}
    if not columns >= {"version", "name", "checksum"}:
        raise SchemaMismatch(
            f"The table tidewheel_migrations of {options.path} is not Tidewheel's (its columns are "
            f"{', '.join(sorted(columns))}). Use another file, or rename it."
        )
    applied = {
        row[0]: row[1:] for row in connection.execute("SELECT version, name, checksum FROM tidewheel_migrations")
    }
    version = max(applied, default=0)
    if not version and len(tables) > 1:
        raise SchemaMismatch(
            f"{options.path} has tables named {', '.join(sorted(tables)[:3])}, and no record of Tidewheel making them. "
            "Use another file, or rename them."
        )
    if version > newest():
        raise SchemaMismatch(
            f"{options.path} has schema {version}, this version of Tidewheel knows {newest()}. "
            "Upgrade Tidewheel on this machine; nothing was touched."
        )
    for number, name, text in migrations():
        if number in applied and applied[number][1] != checksum(text):
            raise SchemaMismatch(
                f"Migration {name} was applied to {options.path} with another text than the one of this version. "
                "The file was made by a changed build of Tidewheel; use that build, or a new file."
            )
    return version


def check_automatic(version: int, options: SqliteOptions) -> None:
    """Refuse to migrate on opening where the URL says not to; a new file is always set up.

    Raises:
        SchemaMismatch: the schema is older and `migrate=manual`.
    """
    if version and options.migrate == "manual":
        raise SchemaMismatch(
            f"{options.path} has schema {version}, this version needs {newest()}. Run "
            f"`tidewheel migrate --store sqlite:///{options.path}`, or leave out ?migrate=manual."
        )


def checksum(text: str) -> str:
    """What the ledger remembers of a migration's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def upgrade(connection: sqlite3.Connection, options: SqliteOptions, now: int) -> tuple[int, int]:
    """Apply what is missing, inside the transaction of the caller; gives the version before and after."""
    before = current(connection, options)
    if before < newest():
        connection.execute(_LEDGER)
        for number, name, text in migrations():
            if number > before:
                for part in _parts(text):
                    connection.execute(part)
                connection.execute(
                    "INSERT INTO tidewheel_migrations VALUES (?, ?, ?, ?)", (number, name, checksum(text), now)
                )
    return before, newest()


def _parts(text: str) -> list[str]:
    """The statements of a migration; `executescript` would commit the transaction we are in."""
    parts, part = [], ""
    for line in text.splitlines():
        part += line + "\n"
        if sqlite3.complete_statement(part):
            parts.append(part)
            part = ""
    return parts
