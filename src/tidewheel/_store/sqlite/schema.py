"""The schema's history in a file: migrations are applied under the write lock. `_store/ledger.py` judges."""

from __future__ import annotations

import sqlite3
from typing import Final

from tidewheel._store.ledger import Ledger
from tidewheel._store.sqlite.options import SqliteOptions
from tidewheel._store.sqlite.sql import migrations

_NAME: Final = "tidewheel_migrations"
_LEDGER: Final = f"""CREATE TABLE IF NOT EXISTS {_NAME} (
    version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT"""


def newest() -> int:
    """The schema version this code is written for."""
    return migrations()[-1].number


def current(connection: sqlite3.Connection, options: SqliteOptions) -> int:
    """The schema version of the file, 0 when it has none of our tables.

    Raises:
        SchemaMismatch: tables of our names that we did not make, a newer schema, or a changed migration.
    """
    ledger = _ledger(options)
    tables = {
        row[0]
        for row in connection.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'tidewheel\\_%' ESCAPE '\\'")
    }
    if _NAME not in tables:
        ledger.check_foreign(tables)
        return 0
    columns = {row[1] for row in connection.execute(f"PRAGMA table_info({_NAME})")}
    if not columns >= {"version", "name", "checksum"}:
        raise ledger.foreign_ledger(_NAME, columns)
    applied = dict(connection.execute(f"SELECT version, checksum FROM {_NAME}").fetchall())
    return ledger.version(applied, tables - {_NAME})


def check_automatic(version: int, options: SqliteOptions) -> None:
    """See `Ledger.check_automatic`."""
    _ledger(options).check_automatic(version, options.migrate)


def upgrade(connection: sqlite3.Connection, options: SqliteOptions, now: int) -> tuple[int, int]:
    """Apply what is missing, inside the transaction of the caller; gives the version before and after."""
    before = current(connection, options)
    missing = _ledger(options).missing(before)
    if missing:
        connection.execute(_LEDGER)
    for migration in missing:
        for part in _parts(migration.text):
            connection.execute(part)
        row = (migration.number, migration.name, migration.checksum, now)
        connection.execute(f"INSERT INTO {_NAME} VALUES (?, ?, ?, ?)", row)
    return before, max(before, newest())


def _ledger(options: SqliteOptions) -> Ledger:
    remedy = f"tidewheel migrate --store sqlite:///{options.path}"
    return Ledger(str(options.path), "another file", remedy, migrations())


def _parts(text: str) -> list[str]:
    """The statements of a migration; `executescript` would commit the transaction we are in."""
    parts, part = [], ""
    for line in text.splitlines():
        part += line + "\n"
        if sqlite3.complete_statement(part):
            parts.append(part)
            part = ""
    return parts
